"""Read a command line the way kind reads it, mistakes included. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import ClusterError

VALUE, SWITCH = True, False
GLOBAL = {"verbosity": VALUE, "quiet": SWITCH, "help": SWITCH, "loglevel": VALUE}
SHORT = {"n": "name", "v": "verbosity", "q": "quiet", "h": "help", "A": "all-clusters"}

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = r"(\d+(?:\.\d+)?)(ms|[hms])"

COMMANDS: dict[tuple[str, ...], dict[str, bool]] = {
    ("create", "cluster"): {
        "name": VALUE,
        "kubeconfig": VALUE,
        "image": VALUE,
        "config": VALUE,
        "wait": VALUE,
        "retain": SWITCH,
    },
    ("delete", "cluster"): {"name": VALUE, "kubeconfig": VALUE},
    ("delete", "clusters"): {"all": SWITCH, "kubeconfig": VALUE},
    ("get", "clusters"): {},
    ("get", "nodes"): {"name": VALUE, "all-clusters": SWITCH},
    ("get", "kubeconfig"): {"name": VALUE, "internal": SWITCH},
    ("export", "kubeconfig"): {"name": VALUE, "kubeconfig": VALUE, "internal": SWITCH},
    ("export", "logs"): {"name": VALUE},
    ("load", "docker-image"): {"name": VALUE, "nodes": VALUE},
    ("load", "image-archive"): {"name": VALUE, "nodes": VALUE},
    ("version",): {},
    ("binary",): {},
    ("help",): {},
}


@dataclass(frozen=True)
class Arguments:
    """A command line taken apart."""

    command: tuple[str, ...]
    words: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)

    def has(self, flag: str) -> bool:
        return self.flags.get(flag, "false") != "false"


def parse(line: list[str]) -> Arguments:
    """Flags and words in any order; the first words name the command."""
    known = find_command([word for word in line if not word.startswith("-")])
    words, flags = _split(line, GLOBAL | COMMANDS.get(known, {}))
    if flags.get("help", "false") != "false" or not words:
        return Arguments(("help",), tuple(words), flags)
    command = find_command(words)
    if not command:
        raise ClusterError(_unknown(words))
    return Arguments(command, tuple(words[len(command) :]), flags)


def find_command(words: list[str]) -> tuple[str, ...]:
    """The longest command that the words begin with; values of flags may stand between."""
    for command in sorted(COMMANDS, key=len, reverse=True):
        if tuple(words[: len(command)]) == command:
            return command
    for command in COMMANDS:
        if (
            len(command) == 2
            and command[0] in words
            and command[1] in words[words.index(command[0]) :]
        ):
            return command
    return ()


def _unknown(words: list[str]) -> str:
    verbs = {command[0] for command in COMMANDS}
    if words[0] not in verbs:
        return f'unknown command "{words[0]}" for "kind"'
    if len(words) == 1:
        return f"Subcommand is required: {', '.join(_subcommands(words[0]))}"
    return f'unknown command "{words[1]}" for "kind {words[0]}"'


def _subcommands(verb: str) -> list[str]:
    return [
        f"{verb} {command[1]}" for command in COMMANDS if command[0] == verb and len(command) > 1
    ]


def _split(line: list[str], known: Mapping[str, bool]) -> tuple[list[str], dict[str, str]]:
    words: list[str] = []
    flags: dict[str, str] = {}
    rest = list(line)
    while rest:
        token = rest.pop(0)
        if token == "--":
            return [*words, *rest], flags
        if not token.startswith("-") or token == "-":
            words.append(token)
            continue
        name, given = _read_flag(token, known)
        if given is None and known[name] is VALUE:
            if not rest:
                raise ClusterError(f"flag needs an argument: {token}")
            given = rest.pop(0)
        flags[name] = "true" if given is None else given
    return words, flags


def _read_flag(token: str, known: Mapping[str, bool]) -> tuple[str, str | None]:
    """The flag's long name, and its value where it is part of the token."""
    if token.startswith("--"):
        name, equals, value = token[2:].partition("=")
        if name not in known:
            raise ClusterError(f"unknown flag: --{name}")
        return name, value if equals else None
    name = SHORT.get(token[1], "")
    if name not in known:
        raise ClusterError(f"unknown shorthand flag: {token[1]!r} in {token}")
    return name, token[2:].removeprefix("=") or None


def parse_duration(text: str) -> float:
    """Seconds in a duration as Go writes it: 5m, 90s, 1m30s, 500ms, 0."""
    if text != "0" and not re.fullmatch(rf"({_DURATION})+", text):
        message = f'invalid argument "{text}" for "--wait" flag'
        raise ClusterError(f'{message}: time: invalid duration "{text}"')
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_DURATION, text))
