"""Reads a unified diff and applies its hunks to text, strictly and in memory.

No fuzz: a hunk's old lines must be in the file exactly, at their place or at one
other. What a patch could do besides changing lines - modes, links, renames, binary
content - is refused, because a model that means it has an operation for it.
"""

import re
from dataclasses import dataclass, field

from agenttask_agent.tools.refusal import Denied, ToolError

HUNK = re.compile(r"@@ -(\d{1,8})(?:,(\d{1,8}))? \+(\d{1,8})(?:,(\d{1,8}))? @@.*")
MODE = re.compile(r"(new|deleted) file mode (\d+)")
FORBIDDEN = re.compile(
    r"(old mode|new mode|rename|copy|similarity|dissimilarity|GIT binary|Binary files) .*"
)
NOTHING = "/dev/null"
MAX_FILES = 100


@dataclass
class Hunk:
    """Lines with their newlines; `start` is the old file's line, from 1."""

    start: int
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


@dataclass
class FilePatch:
    """One file's part of a patch."""

    path: str
    creates: bool = False
    deletes: bool = False
    hunks: list[Hunk] = field(default_factory=list)


def parse(text: str) -> list[FilePatch]:
    """Return the parts of a patch; raises ToolError for anything but line changes."""
    lines, at = text.split("\n"), 0
    patches: list[FilePatch] = []
    while at < len(lines):
        line = lines[at].rstrip("\r")
        following = lines[at + 1].rstrip("\r") if at + 1 < len(lines) else ""
        if line.startswith("--- ") and following.startswith("+++ "):
            patches.append(_header(line[4:], following[4:]))
            at += 2
        elif found := HUNK.fullmatch(line):
            if not patches:
                raise ToolError(f"line {at + 1}: a hunk before '--- FILE' and '+++ FILE'")
            at = _hunk(lines, at + 1, found, patches[-1])
        else:
            _between(line, at + 1)
            at += 1
    return _complete(patches)


def apply(text: str, hunks: list[Hunk], path: str) -> str:
    """Return the text with all hunks applied; raises ToolError with the first that fits not."""
    lines = text.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    shift = floor = 0
    for number, hunk in enumerate(hunks, 1):
        wanted = (hunk.start - 1 if hunk.old else hunk.start) + shift
        place = _place(lines, hunk.old, wanted, floor)
        if place is None:
            raise ToolError(f"hunk {number} of {path!r} does not fit at line {hunk.start}")
        lines[place : place + len(hunk.old)] = hunk.new
        shift += place - wanted + len(hunk.new) - len(hunk.old)
        floor = place + len(hunk.new)
    if not all(line.endswith("\n") for line in lines[:-1]):
        raise ToolError(f"{path!r}: a line without newline is not the last one")
    return "".join(lines)


def _place(lines: list[str], old: list[str], wanted: int, floor: int) -> int | None:
    """Return where the old lines are: where they are said to be, or at the only other place."""
    size = len(old)
    if floor <= wanted <= len(lines) - size and lines[wanted : wanted + size] == old:
        return wanted
    if not size:
        return None
    found = [i for i in range(floor, len(lines) - size + 1) if lines[i : i + size] == old]
    return found[0] if len(found) == 1 else None


def _header(old: str, new: str) -> FilePatch:
    before, after = _name(old, "a/"), _name(new, "b/")
    if NOTHING in (before, after):
        path = after if before == NOTHING else before
        if path == NOTHING:
            raise ToolError("a part of the patch names no file")
        return FilePatch(path, creates=before == NOTHING, deletes=after == NOTHING)
    if before != after:
        raise Denied(f"{before!r} and {after!r} differ; use move_file to rename")
    return FilePatch(before)


def _name(text: str, prefix: str) -> str:
    name = text.partition("\t")[0].strip()
    if name.startswith('"'):
        raise ToolError(f"{name!r}: quoted names are not understood")
    return name.removeprefix(prefix)


def _hunk(lines: list[str], at: int, found: re.Match[str], patch: FilePatch) -> int:
    """Read one hunk's lines as its header counts them; return the line after it."""
    hunk = Hunk(int(found[1]))
    left, right = int(found[2] or "1"), int(found[4] or "1")
    last: tuple[list[str], ...] = ()
    while left or right or (at < len(lines) and lines[at].startswith("\\")):
        line = lines[at] if at < len(lines) else ""
        if line.startswith("\\") and last:
            for side in last:
                side[-1] = side[-1].removesuffix("\n")
        else:
            last = _sides(line, hunk, at + 1, patch.path)
            left, right = _counted(hunk, found)
        at += 1
    patch.hunks.append(hunk)
    return at


def _sides(line: str, hunk: Hunk, number: int, path: str) -> tuple[list[str], ...]:
    """Add one line to the sides it belongs to, and return them."""
    kinds: dict[str, tuple[list[str], ...]] = {
        " ": (hunk.old, hunk.new),
        "-": (hunk.old,),
        "+": (hunk.new,),
    }
    sides = kinds.get(line[:1])
    if sides is None:
        raise ToolError(f"line {number}: the hunk of {path!r} has fewer lines than its header says")
    for side in sides:
        side.append(line[1:] + "\n")
    return sides


def _counted(hunk: Hunk, found: re.Match[str]) -> tuple[int, int]:
    """Return how many lines are still to come on each side."""
    left = int(found[2] or "1") - len(hunk.old)
    right = int(found[4] or "1") - len(hunk.new)
    if left < 0 or right < 0:
        raise ToolError(f"the hunk {found[0][:60]!r} has other lines than its header says")
    return left, right


def _between(line: str, number: int) -> None:
    """Check a line that belongs to no hunk."""
    if FORBIDDEN.fullmatch(line):
        raise Denied(f"line {number}: {line[:80]!r}: a patch may only change lines of text")
    mode = MODE.fullmatch(line)
    if mode and mode[2] not in (("100644",) if mode[1] == "new" else ("100644", "100755")):
        raise Denied(f"line {number}: files of mode {mode[2]} are not made or deleted by a patch")
    if line[:1] in ("+", "-", " ") and line.strip():
        raise ToolError(f"line {number} belongs to no hunk: its header counts fewer lines")


def _complete(patches: list[FilePatch]) -> list[FilePatch]:
    if not patches or not all(patch.hunks for patch in patches):
        raise ToolError("this is no unified diff: it needs '--- FILE', '+++ FILE' and '@@' hunks")
    paths = [patch.path for patch in patches]
    if len(set(paths)) != len(paths) or len(paths) > MAX_FILES:
        raise ToolError(f"a patch names each file once, and at most {MAX_FILES} of them")
    return patches
