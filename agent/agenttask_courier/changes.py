"""What differs between two commits: paths, modes, counts, and the patch.

Always without external diff programs and text conversion: those names come from
files that the candidate wrote.
"""

from dataclasses import dataclass
from pathlib import Path

from agenttask_courier.git import Git

GITLINK = "160000"
SYMLINK = "120000"
MAX_CHANGED_PATHS = 10_000
MAX_LISTING_BYTES = 16 * 1024 * 1024
PATCH_TIMEOUT_SECONDS = 120.0
_SAFE = ("-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-commit-id")


class TooManyChanges(ValueError):
    """More than anybody would review."""


@dataclass(frozen=True)
class Entry:
    """One changed path; a mode of 000000 means that the side has no such file."""

    path: str
    """Undecodable bytes are kept as surrogates."""
    old_mode: str
    new_mode: str
    old_id: str
    new_id: str


@dataclass(frozen=True)
class Changes:
    """The difference between a base and a candidate."""

    base: str
    commit: str
    entries: tuple[Entry, ...]
    insertions: int
    deletions: int

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(entry.path for entry in self.entries)


def list_changes(git: Git, base: str, commit: str) -> Changes:
    """Return the difference; raises TooManyChanges beyond MAX_CHANGED_PATHS."""
    raw = git.run(
        "diff-tree",
        *_SAFE,
        "-z",
        "--raw",
        "--no-abbrev",
        base,
        commit,
        max_output=MAX_LISTING_BYTES,
    )
    entries = _entries(raw.decode("utf-8", "surrogateescape"))
    if len(entries) > MAX_CHANGED_PATHS:
        raise TooManyChanges(f"{len(entries)} changed paths; at most {MAX_CHANGED_PATHS}")
    counts = git.run(
        "diff-tree", *_SAFE, "-z", "--numstat", base, commit, max_output=MAX_LISTING_BYTES
    )
    insertions, deletions = _line_counts(counts.decode("utf-8", "surrogateescape"))
    return Changes(base, commit, entries, insertions, deletions)


def write_patch(git: Git, base: str, tip: str, path: Path) -> None:
    """Write the difference of two trees as a patch that `git apply` takes."""
    with path.open("wb") as target:
        git.run(
            "diff-tree",
            *_SAFE,
            "--binary",
            "--full-index",
            "-p",
            base,
            tip,
            stdout=target,
            timeout=PATCH_TIMEOUT_SECONDS,
        )


def printable(path: str) -> str:
    """Return a path as text of one line that every JSON reader takes and no terminal obeys."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _entries(raw: str) -> tuple[Entry, ...]:
    """Parse `:oldmode newmode oldid newid status`, path, both ended by NUL."""
    fields = raw.split("\0")[:-1]
    found = []
    for facts, path in zip(fields[::2], fields[1::2], strict=True):
        old_mode, new_mode, old_id, new_id, _ = facts.lstrip(":").split(" ")
        found.append(Entry(path, old_mode, new_mode, old_id, new_id))
    return tuple(found)


def _line_counts(numstat: str) -> tuple[int, int]:
    """Sum tab-separated `added deleted path` records; binary files count as `-`."""
    rows = [record.split("\t", 2) for record in numstat.split("\0") if record]
    added = sum(int(row[0]) for row in rows if row[0].isdecimal())
    deleted = sum(int(row[1]) for row in rows if row[1].isdecimal())
    return added, deleted
