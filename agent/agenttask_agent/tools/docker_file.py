r"""Reads a Dockerfile for what options of the engine cannot forbid. Pure.

With `--network none` a `RUN` has no network, but the engine itself fetches what `ADD`
names and pulls what `FROM` names; `RUN --mount` and `--network=host` ask for more than
the command line gave. Parsers differ in where an instruction begins, so every line is
taken for a beginning, and what could move one (`# escape`, `\\`, heredocs) is refused.
"""

import re
from collections.abc import Callable, Iterator

from agenttask_agent.tools.refusal import Denied, ToolError

MAX_BYTES = 256 * 1024
MAX_LINES = 2000
DIRECTIVE = re.compile(r"#\s*(escape|syntax)\s*=\s*(\S*)", re.IGNORECASE)
FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?")
CONTINUED = re.compile(r"\\[ \t]*\Z")
AMBIGUOUS_END = re.compile(r"\\\\[ \t]*\Z")
REMOTE = re.compile(r"(?i)[a-z][a-z0-9+.-]*://|git@|github\.com|\$")
FRONTEND = re.compile(r"(docker\.io/)?docker/dockerfile(:1(\.[0-9.]+)?)?")
ALLOWED_FLAGS = {
    "FROM": {"platform"},
    "COPY": {"from", "chown", "chmod", "link"},
    "ADD": {"chown", "chmod", "link", "checksum"},
    "RUN": set[str](),
}
"""RUN has none: `--mount`, `--network` and `--security` leave the build's walls."""
Base = Callable[[str], object]
"""Raises for an image that may not be used."""


def check(text: str, *, network: bool, base: Base) -> None:
    """Raise Denied or ToolError for a Dockerfile that a build must not follow."""
    stages: set[str] = set()
    for instruction, words in _instructions(text):
        flags = _take_flags(instruction, words)
        if instruction == "FROM":
            _check_from(words, stages, base)
        elif instruction == "ADD" and not network and any(map(REMOTE.search, words)):
            raise Denied("Dockerfile: ADD may name files of the context only, without variables")
        if flags.get("from"):
            _check_image(flags["from"], stages, base)


def _take_flags(instruction: str, words: list[str]) -> dict[str, str]:
    """Remove the flags from the front of the words; raises for one that is not allowed."""
    flags = {}
    while words and words[0].startswith("--"):
        found = FLAG.fullmatch(words.pop(0))
        if not found or found[1] not in ALLOWED_FLAGS[instruction]:
            raise Denied(f"Dockerfile: {instruction} with --{found[1] if found else ''} is refused")
        flags[found[1]] = found[2] or ""
    return flags


def _check_from(words: list[str], stages: set[str], base: Base) -> None:
    if not words:
        raise ToolError("Dockerfile: FROM names no image")
    _check_image(words[0], stages, base)
    if len(words) == 3 and words[1].upper() == "AS":
        stages.add(words[2].lower())


def _check_image(name: str, stages: set[str], base: Base) -> None:
    if name == "scratch" or name.lower() in stages or name.isdecimal():
        return
    if "$" in name:
        raise Denied("Dockerfile: write the image out, without a variable")
    base(name)


def _instructions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield what each line would be if an instruction began there; triggers as what they do."""
    lines = _lines(text)
    for index, line in enumerate(lines):
        words = line.split()[:2]
        if words and words[0].upper() in (*ALLOWED_FLAGS, "ONBUILD"):
            words = _joined(lines, index).split()
            while words and words[0].upper() == "ONBUILD":
                del words[0]
            if words and words[0].upper() in ALLOWED_FLAGS:
                yield words[0].upper(), words[1:]


def _lines(text: str) -> list[str]:
    lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
    if len(lines) > MAX_LINES or len(text) > MAX_BYTES:
        raise ToolError(f"the Dockerfile is longer than {MAX_LINES} lines or {MAX_BYTES} bytes")
    for line in lines:
        _refuse_ambiguous(line)
    return lines


def _refuse_ambiguous(line: str) -> None:
    found = DIRECTIVE.match(line.strip())
    if found and (found[1].lower() == "escape" or not FRONTEND.fullmatch(found[2])):
        raise Denied(f"Dockerfile: the directive {found[1]} is refused")
    if AMBIGUOUS_END.search(line):
        raise Denied("Dockerfile: a line ends with two backslashes")
    if "<<" in line:
        raise Denied("Dockerfile: heredocs are refused; write a script and COPY it")


def _joined(lines: list[str], start: int) -> str:
    """Return the line with its continuations, comments and empty lines among them left out."""
    parts: list[str] = []
    for line in lines[start:]:
        if parts and (line.lstrip().startswith("#") or not line.strip()):
            continue
        parts.append(CONTINUED.sub("", line))
        if not CONTINUED.search(line):
            break
    return "".join(parts)
