"""Records in git's index how files are now: changed, new and deleted ones.

Not with `git add`: that asks nested repositories whether they have changed, and they
have settings of their own, programs among them. A nested repository that is not in the
index yet is left out; as a link to a commit that nobody else has it would be of no use.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from agenttask_agent.tools.process import Finished
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.repository import Repository

NAMES_BYTES = 64 * 1024 * 1024
WORDS_BYTES = 100_000
"""Of names in one call; the system allows 128 KiB at the least."""
LIST = ("ls-files", "--others", "--exclude-standard", "-z")


def stage(repository: Repository, paths: Sequence[str] = ()) -> Finished:
    """Stage the paths, all when there are none; a path that git does not know fails."""
    if paths:
        known = repository.run([*LIST, "--cached", "--error-unmatch", "--", *paths])
        if known.exit_code != 0:
            return known
    done = repository.run([*LIST, "--modified", "--deleted", "--", *paths], limit=NAMES_BYTES)
    if done.truncated:
        raise ToolError("too many files have changed")
    if done.exit_code != 0:
        return done
    names = [name for name in dict.fromkeys(done.output.split(b"\0")) if _is_file(name)]
    gone = {name for name in names if _is_gone(repository.root, name)}
    there = [name for name in names if name not in gone]
    return (
        _update(repository, ["--force-remove"], sorted(gone))
        or _update(repository, ["--add", "--remove", "--replace"], there)
        or Finished(0, b"")
    )


def _is_file(name: bytes) -> bool:
    return bool(name) and not name.endswith(b"/")


def _is_gone(root: Path, name: bytes) -> bool:
    """Say whether nothing is there any more that an entry could be made of.

    A link in place of its folder leads away from it; a folder in its own place holds
    other entries, unless it is a nested repository.
    """
    path = root / os.fsdecode(name)
    folders = path.parents[: len(path.relative_to(root).parts) - 1]
    if any(folder.is_symlink() for folder in folders) or not os.path.lexists(path):
        return True
    return path.is_dir() and not path.is_symlink() and not os.path.lexists(path / ".git")


def _update(repository: Repository, how: list[str], names: list[bytes]) -> Finished | None:
    """Update the index's entries; return how it failed, None when it did not."""
    for portion in _portions(names):
        done = repository.run(["update-index", *how, "--", *portion])
        if done.exit_code != 0:
            return done
    return None


def _portions(names: Sequence[bytes]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for name in names:
        if portion and size + len(name) > WORDS_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(os.fsdecode(name))
        size += len(name) + 1
    if portion:
        yield portion
