"""Reads a Dockerfile for what options of the engine cannot forbid. Pure.

With `--network none` a `RUN` has no network, but the engine itself fetches what `ADD`
names and pulls what `FROM` names; `RUN --mount` and `--network=host` ask for more than
the command line gave. A line that cannot be judged (a variable in `FROM`) is refused.
"""

import re
from collections.abc import Callable, Iterator

from agenttask_agent.tools.refusal import Denied, ToolError

MAX_BYTES = 256 * 1024
DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(\S+)\s*")
FLAG = re.compile(r"--([a-z]+)(?:=(\S*))?\Z")
HEREDOC = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\1")
REMOTE = re.compile(r"(?i)[a-z][a-z0-9+.-]*://|git@|github\.com/|\$")
ALLOWED_FLAGS = {
    "FROM": {"platform"},
    "COPY": {"from", "chown", "chmod", "link"},
    "ADD": {"chown", "chmod", "link", "checksum"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "start-interval", "retries"},
}
"""RUN has none: `--mount`, `--network` and `--security` leave the build's walls."""


def check(text: str, *, network: bool, base: Callable[[str], object]) -> None:
    """Raise Denied or ToolError for a Dockerfile that a build must not follow.

    `base` raises for an image that may not be used.
    """
    stages: set[str] = set()
    for instruction, flags, words in _instructions(text):
        _check_flags(instruction, flags)
        if instruction == "FROM":
            _check_from(words, stages, base)
        elif instruction in ("ADD", "COPY"):
            _check_sources(instruction, words, network)
            _check_copied_from(flags.get("from", ""), stages, base)


def _check_flags(instruction: str, flags: dict[str, str]) -> None:
    foreign = sorted(set(flags) - ALLOWED_FLAGS.get(instruction, set()))
    if foreign:
        raise Denied(f"Dockerfile: {instruction} --{foreign[0]} is not allowed")


def _check_from(words: list[str], stages: set[str], base: Callable[[str], object]) -> None:
    if not words:
        raise ToolError("Dockerfile: FROM names no image")
    _check_image(words[0], stages, base)
    if len(words) == 3 and words[1].upper() == "AS":
        stages.add(words[2].lower())


def _check_copied_from(name: str, stages: set[str], base: Callable[[str], object]) -> None:
    if name and not name.isdecimal():
        _check_image(name, stages, base)


def _check_image(name: str, stages: set[str], base: Callable[[str], object]) -> None:
    if name.lower() in stages or name == "scratch":
        return
    if "$" in name:
        raise Denied("Dockerfile: write the base image out, without a variable")
    base(name)


def _check_sources(instruction: str, words: list[str], network: bool) -> None:
    if instruction == "ADD" and not network and any(REMOTE.search(word) for word in words):
        raise Denied("Dockerfile: ADD may name files of the context only; builds have no network")


def _instructions(text: str) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Yield instruction, flags and words; a trigger (ONBUILD) as what it triggers."""
    for line in _logical_lines(text):
        words = line.split()
        while words and words[0].upper() == "ONBUILD":
            words = words[1:]
        if not words:
            continue
        instruction, rest = words[0].upper(), words[1:]
        flags = {}
        while rest and rest[0].startswith("--"):
            found = FLAG.match(rest.pop(0))
            if not found:
                raise ToolError(f"Dockerfile: a flag of {instruction} cannot be read")
            flags[found[1]] = found[2] or ""
        yield instruction, flags, rest


def _logical_lines(text: str) -> Iterator[str]:
    """Yield lines with their continuations joined, comments and heredocs left out."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise ToolError(f"the Dockerfile is larger than {MAX_BYTES} bytes")
    lines = iter(re.split(r"\r?\n", text.removeprefix("\ufeff")))
    escape = _escape_of(text)
    joined = ""
    for line in lines:
        if line.lstrip().startswith("#") or (joined and not line.strip()):
            continue
        stripped = line.rstrip(" \t")
        if stripped.endswith(escape):
            joined += stripped[: -len(escape)]
            continue
        yield from [(joined + line).strip()] if (joined + line).strip() else []
        _skip_heredocs(joined + line, lines)
        joined = ""
    if joined.strip():
        yield joined.strip()


def _skip_heredocs(line: str, lines: Iterator[str]) -> None:
    if line.split(maxsplit=1)[:1] and line.split()[0].upper() in ("RUN", "COPY", "ADD"):
        for found in HEREDOC.finditer(line):
            if not any(text.lstrip("\t") == found[2] for text in lines):
                raise ToolError(f"Dockerfile: the text for {found[2]} has no end")


def _escape_of(text: str) -> str:
    """Return the escape character; another `# syntax` would change all that is read here."""
    escape = "\\"
    for line in re.split(r"\r?\n", text.removeprefix("\ufeff")):
        found = DIRECTIVE.fullmatch(line.strip())
        if not found:
            return escape
        if found[1].lower() == "escape" and found[2] == "`":
            escape = "`"
        if found[1].lower() == "syntax" and not found[2].startswith("docker/dockerfile:1"):
            raise Denied("Dockerfile: a foreign # syntax is not allowed")
    return escape
