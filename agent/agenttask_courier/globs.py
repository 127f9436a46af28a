"""Path patterns as git's pathspecs read them: `*` stays in a folder, `**` does not.

A pattern that names a folder covers everything below it. Matching goes folder by
folder, so no pattern and no path makes it slow.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase


def matching(paths: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that any of the patterns covers."""
    split = [_parts(pattern) for pattern in patterns]
    return tuple(path for path in paths if any(_covers(p, path.split("/")) for p in split))


def covers(pattern: str, path: str) -> bool:
    """Say whether the pattern covers the path."""
    return _covers(_parts(pattern), path.split("/"))


def _parts(pattern: str) -> list[str]:
    parts: list[str] = []
    for part in pattern.strip("/").split("/"):
        if part != "**" or parts[-1:] != ["**"]:
            parts.append(part)
    return parts


def _covers(pattern: list[str], path: list[str]) -> bool:
    """Walk the pattern along the path; `reached` = pattern positions that fit so far."""
    reached = _skip(pattern, {0})
    for part in path:
        if len(pattern) in reached:
            return True
        reached = _skip(pattern, _advance(pattern, reached, part))
    return len(pattern) in reached


def _advance(pattern: list[str], reached: set[int], part: str) -> set[int]:
    stay = {i for i in reached if pattern[i] == "**"}
    step = {i + 1 for i in reached if pattern[i] == "**" or fnmatchcase(part, pattern[i])}
    return stay | step


def _skip(pattern: list[str], reached: set[int]) -> set[int]:
    """Let `**` stand for no folder at all, except at the end: `a/**` is not `a`."""
    more = {i + 1 for i in reached if i < len(pattern) - 1 and pattern[i] == "**"}
    return reached | more
