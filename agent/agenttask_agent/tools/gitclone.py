"""Clones an allowed repository into a new folder of the workspace.

The clone is material to read and try, not part of the work: the workspace's own
repository is told to leave it out, or it would be committed as a link to nowhere.
"""

import contextlib
import os
import re
import shutil
import stat
from typing import Annotated

from pydantic import Field

from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.git_branches import Branch
from agenttask_agent.tools.gitanswer import answer
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.workspace import DIRECTORY, explained

FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
CLONE = (
    "clone",
    "--template=",
    "--no-local",
    "--no-hardlinks",
    "--no-recurse-submodules",
    "--no-progress",
)
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Clone(Params):
    """Arguments of git.clone."""

    url: Annotated[str, Field(min_length=1, max_length=2048, description="An allowed remote.")]
    branch: Branch | None = None
    depth: Annotated[int | None, Field(ge=1, le=100_000, description="Commits to fetch.")] = None


def clone(context: ToolContext, params: Clone) -> Answer:
    repository = context.repository
    remote = repository.remotes.reach(params.url, repository.env)
    name = folder_of(params.url)
    branch = [f"--branch={repository.branch_name(params.branch)}"] if params.branch else []
    depth = [f"--depth={params.depth}"] if params.depth else []
    if not context.workspace.make_folder(name):
        raise ToolError(f"{name!r} is there already")
    argv = [*CLONE, *branch, *depth, *remote.reading(), "--", remote.url, name]
    done = repository.run(argv, remote=remote)
    if done.exit_code == 0:
        _leave_out(context, name)
    else:
        _remove(context, name)
    return answer(done, f"cloned into {name}, which is left out of commits")


def folder_of(url: str) -> str:
    """Return the folder's name, the last part of the URL's path as git takes it."""
    name = url.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git")
    if not FOLDER.fullmatch(name):
        raise ToolError(f"{url[:200]!r} does not end in a usable name")
    return name


def _remove(context: ToolContext, name: str) -> None:
    with context.workspace.place(name) as place, contextlib.suppress(OSError):
        shutil.rmtree(place.name, dir_fd=place.folder)


def _leave_out(context: ToolContext, name: str) -> None:
    """Add the folder to `.git/info/exclude`, following no link on the way."""
    with contextlib.ExitStack() as stack, explained(".git/info/exclude"):
        current = stack.enter_context(context.workspace.folder("."))
        for part in (".git", "info"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=current)
            current = os.open(part, DIRECTORY, dir_fd=current)
            stack.callback(os.close, current)
        file = os.open("exclude", APPEND, 0o644, dir_fd=current)
        stack.callback(os.close, file)
        if stat.S_ISREG(os.fstat(file).st_mode) and os.fstat(file).st_nlink == 1:
            os.write(file, f"\n/{name}/\n".encode())


OPERATION = Operation(
    "git",
    "clone",
    Clone,
    clone,
    "Clone an allowed repository into a new folder of its name.",
)
