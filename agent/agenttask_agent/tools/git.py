"""The git family: what changes and shows the local repository, and the family as a whole.

Model text reaches git only after `--end-of-options` or `--`, refs only as the
object ids they resolve to, and paths only after the workspace's own check.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from agenttask_agent.tools import fields, git_branches, git_remotes
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.gitanswer import Paths, answer, checked
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.staging import stage

SAFE_DIFF = ("--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all")
Ref = Annotated[str, Field(min_length=1, max_length=255, description="Branch, tag or commit.")]
AUTHOR = r"^[^<>]+ <[^<> ]+>$"
"""Bounded by its length alone: of long bounded repetitions xgrammar makes no grammar, and
vLLM 0.32 then answers every request that offers the tool with status 500."""


class Status(Params):
    """Arguments of git.status."""

    short: Annotated[bool, Field(description="One line for each file.")] = False


def status(context: ToolContext, params: Status) -> Answer:
    how = ["--short", "--branch"] if params.short else ["--long"]
    return answer(context.repository.run(["status", "--ignore-submodules=all", *how]))


class Add(Params):
    """Arguments of git.add."""

    paths: Annotated[Paths | Literal["all"], Field(description='A list of paths, or "all".')]


def add(context: ToolContext, params: Add) -> Answer:
    if params.paths == "all":
        return answer(stage(context.repository), "added all changes")
    if not params.paths:
        raise ToolError('no paths given; use "all" for everything')
    paths = checked(params.paths)
    return answer(stage(context.repository, paths), "added " + ", ".join(paths))


class Commit(Params):
    """Arguments of git.commit."""

    message: Annotated[str, Field(min_length=1, max_length=10_000)]
    author: Annotated[
        str | None, Field(pattern=AUTHOR, max_length=400, description="Name <address>.")
    ] = None


def commit(context: ToolContext, params: Commit) -> Answer:
    if not params.message.strip() or "\0" in params.message:
        raise ToolError("the commit message is empty or holds a NUL character")
    if params.author and not params.author.isprintable():
        raise ToolError("the author holds control characters")
    if context.repository.run(["diff", "--cached", "--quiet"]).exit_code == 0:
        # git itself would describe the state, and ask nested repositories for theirs.
        return Answer(exit_code=1, error="nothing to commit: no changes were added")
    author = [f"--author={params.author}"] if params.author else []
    message = f"--message={params.message}"
    argv = ["commit", "--no-verify", "--no-gpg-sign", "--cleanup=strip", *author, message]
    done = context.repository.run(argv)
    shown = answer(done)
    head = context.repository.head() if done.exit_code == 0 else None
    return shown if head is None else Answer(shown.output, {"commit": head}, 0)


class Diff(Params):
    """Arguments of git.diff."""

    cached: Annotated[bool, Field(description="What is added, instead of what is not.")] = False
    files: Annotated[Paths | None, Field(description="Only these paths.")] = None


def diff(context: ToolContext, params: Diff) -> Answer:
    cached = ["--cached"] if params.cached else []
    paths = checked(params.files or ())
    shown = answer(context.repository.run(["diff", *SAFE_DIFF, *cached, "--", *paths]))
    new = _untracked(context) if not params.cached and not paths else []
    note = "\nnew files, not in this diff: " + ", ".join(new) if new else ""
    return Answer(
        (shown.output or "no difference") + note,
        shown.metadata,
        shown.exit_code,
        shown.error,
        shown.truncated,
    )


class Log(Params):
    """Arguments of git.log."""

    max_count: Annotated[int, Field(ge=1, le=200)] = 10
    oneline: bool = False


def log(context: ToolContext, params: Log) -> Answer:
    form = ["--oneline"] if params.oneline else ["--format=medium"]
    argv = ["log", f"--max-count={params.max_count}", *form, "--no-color", "--no-show-signature"]
    return answer(context.repository.run(argv))


class Show(Params):
    """Arguments of git.show."""

    ref: Ref
    path: Annotated[fields.Path | None, Field(description="A file as it was at ref.")] = None


def show(context: ToolContext, params: Show) -> Answer:
    found = context.repository.resolve(params.ref)
    if params.path:
        path = checked((params.path,))[0]
        return answer(context.repository.run(["cat-file", "-p", f"{found}:{path}"]))
    argv = ["show", "--stat", "--patch", *SAFE_DIFF, "--no-show-signature", "--end-of-options"]
    return answer(context.repository.run([*argv, found, "--"]))


def _untracked(context: ToolContext) -> list[str]:
    listed = context.repository.run(["ls-files", "--others", "--exclude-standard", "-z"])
    names = listed.output.decode("utf-8", "replace").split("\0")
    return [name for name in names if name][:50]


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        "git",
        "status",
        Status,
        status,
        "Show the branch and what has changed.",
        read_only=True,
    ),
    Operation("git", "add", Add, add, "Add changes of files to the next commit."),
    Operation("git", "commit", Commit, commit, "Commit what was added."),
    Operation(
        "git",
        "diff",
        Diff,
        diff,
        "Show the changes that are not added yet, or with cached the ones that are.",
        read_only=True,
    ),
    Operation("git", "log", Log, log, "Show the latest commits.", read_only=True),
    Operation(
        "git",
        "show",
        Show,
        show,
        "Show a commit with its diff, or a file as it was at a commit.",
        read_only=True,
    ),
    *git_branches.OPERATIONS,
    *git_remotes.OPERATIONS,
)
