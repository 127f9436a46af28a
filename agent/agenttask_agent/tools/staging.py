"""Records in git's index how files are now: changed, new and deleted ones.

Not with `git add`: that asks nested repositories whether they have changed, and they
have settings of their own, programs among them. A nested repository that is not in the
index yet is left out; as a link to a commit that nobody else has it would be of no use.
"""

import os
from collections.abc import Iterator, Sequence

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
    for names in _portions(done.output.split(b"\0")) if done.exit_code == 0 else ():
        done = repository.run(["update-index", "--add", "--remove", "--replace", "--", *names])
        if done.exit_code != 0:
            return done
    return Finished(done.exit_code, b"", done.errors)


def _portions(names: Sequence[bytes]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for name in dict.fromkeys(names):
        if not name or name.endswith(b"/"):
            continue
        if portion and size + len(name) > WORDS_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(os.fsdecode(name))
        size += len(name) + 1
    if portion:
        yield portion
