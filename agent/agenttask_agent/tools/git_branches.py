"""The git operations on branches and on lines of the past, all local."""

from typing import Annotated, Any

from pydantic import Field

from agenttask_agent.tools import fields
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.gitanswer import Paths, answer, checked
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import ToolError

Branch = Annotated[str, Field(min_length=1, max_length=200, description="Name of a branch.")]


class Checkout(Params):
    """Arguments of git.checkout."""

    branch: Branch
    create: Annotated[bool, Field(description="Create it at the current commit.")] = False


def checkout(context: ToolContext, params: Checkout) -> Answer:
    name = context.repository.branch_name(params.branch)
    how = ["--create"] if params.create else ["--guess"]
    # Quiet, or git looks for changes in nested repositories to list them, by their settings.
    argv = ["switch", "--quiet", "--no-recurse-submodules", *how, name]
    return answer(context.repository.run(argv), f"on branch {name}")


class Branches(Params):
    """Arguments of git.branch."""

    list_all: Annotated[bool, Field(description="Also those of the remote.")] = False
    delete: Annotated[
        Branch | None, Field(description="Delete this merged branch instead of listing.")
    ] = None


def branch(context: ToolContext, params: Branches) -> Answer:
    if params.delete is not None:
        name = context.repository.branch_name(params.delete)
        return answer(context.repository.run(["branch", "--delete", name]))
    every = ["--all"] if params.list_all else []
    argv = ["branch", "--list", *every, "--verbose", "--no-color", "--no-column"]
    return answer(context.repository.run(argv), "(no branch has a commit)")


class Restore(Params):
    """Arguments of git.restore."""

    paths: Paths
    staged: Annotated[bool, Field(description="Take back what was added, not the file.")] = False


def restore(context: ToolContext, params: Restore) -> Answer:
    if not params.paths:
        raise ToolError("no paths given")
    paths = checked(params.paths)
    where = ["--staged"] if params.staged else ["--worktree"]
    argv = ["restore", *where, "--no-progress", "--no-recurse-submodules", "--", *paths]
    return answer(context.repository.run(argv), "restored " + ", ".join(paths))


class Blame(Params):
    """Arguments of git.blame."""

    path: fields.Path
    start: Annotated[fields.Line | None, Field(description="First line, from 1.")] = None
    end: Annotated[fields.Line | None, Field(description="Last line.")] = None


def blame(context: ToolContext, params: Blame) -> Answer:
    """Blame HEAD and not the file: a folder swapped for a link would be read through."""
    path = checked((params.path,))[0]
    if (params.end or params.start or 1) < (params.start or 1):
        raise ToolError("the last line lies before the first")
    lines = f"-L{params.start or 1},{params.end or ''}"
    argv = ["blame", "--no-progress", "--no-textconv", "--date=short", lines, "HEAD", "--", path]
    return answer(context.repository.run(argv))


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation("git", "checkout", Checkout, checkout, "Switch to a branch.", edits=True),
    Operation(
        "git",
        "branch",
        Branches,
        branch,
        "List the branches, or delete a merged one.",
        read_only=True,
        writes=lambda params: params.delete is not None,
    ),
    Operation(
        "git",
        "restore",
        Restore,
        restore,
        "Throw away changes of files that are not added, or with staged take them back.",
        edits=True,
    ),
    Operation(
        "git",
        "blame",
        Blame,
        blame,
        "Show which commit last changed each line of a file.",
        read_only=True,
    ),
)
