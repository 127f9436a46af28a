"""The git operations that talk to another repository: the allowed one and no other.

In the pod that is a bare repository beside the workspace, and the courier pushes for
real. Names of remotes and refspecs are never the repository's: git gets the checked
address and full refs, so nothing in the configuration has a say.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.git_branches import Branch
from agenttask_agent.tools.gitanswer import answer
from agenttask_agent.tools.gitclone import OPERATION as CLONE
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.process import Finished
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.remotes import Remote
from agenttask_agent.tools.repository import Repository, explain

Origin = Annotated[Literal["origin"], Field(description="There is only this one.")]
FETCH = ("fetch", "--no-progress", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance")
PUSH = ("push", "--no-verify", "--no-progress", "--no-signed", "--recurse-submodules=no")


class Push(Params):
    """Arguments of git.push."""

    remote: Origin = "origin"
    branch: Annotated[Branch | None, Field(description="Absent = the current one.")] = None
    force: Annotated[
        bool, Field(description="Replace what was last fetched, and nothing newer.")
    ] = False


def push(context: ToolContext, params: Push) -> Answer:
    repository = context.repository
    remote = repository.origin()
    name = repository.branch_name(params.branch) if params.branch else repository.branch()
    ours, tracking = f"refs/heads/{name}", _tracking(name)
    tip = repository.tip(ours)
    if tip is None:
        raise ToolError(f"there is no branch {name!r}")
    lease = [f"--force-with-lease={ours}:{repository.tip(tracking) or ''}"] if params.force else []
    argv = [*PUSH, *lease, *remote.writing(), "--", remote.url, f"{ours}:{ours}"]
    done = repository.run(argv, remote=remote)
    if done.exit_code == 0:
        repository.text(["update-ref", tracking, tip])
    return answer(done, f"pushed {name} at {tip[:12]}")


class Fetch(Params):
    """Arguments of git.fetch."""

    remote: Origin = "origin"
    ref: Annotated[Branch | None, Field(description="A branch or tag; absent = all.")] = None


def fetch(context: ToolContext, params: Fetch) -> Answer:
    remote = context.repository.origin()
    if params.ref is None:
        return answer(_fetch(context, remote, f"+refs/heads/*:{_tracking('*')}"), "fetched")
    name = context.repository.branch_name(params.ref)
    done = _fetch_branch(context, remote, name)
    if done.exit_code:
        tag = _fetch(context, remote, f"refs/tags/{name}:refs/tags/{name}")
        done = tag if tag.exit_code == 0 else done
    return answer(done, f"fetched {name}")


class Pull(Params):
    """Arguments of git.pull."""

    remote: Origin = "origin"
    branch: Annotated[Branch | None, Field(description="Absent = the current one.")] = None


def pull(context: ToolContext, params: Pull) -> Answer:
    repository = context.repository
    remote = repository.origin()
    name = repository.branch_name(params.branch) if params.branch else repository.branch()
    fetched = _fetch_branch(context, remote, name)
    if fetched.exit_code != 0:
        return answer(fetched)
    theirs = repository.text(["rev-parse", "--verify", "--end-of-options", _tracking(name)])
    ours = repository.head()
    if ours is None or _has(repository, theirs, ours) or _has(repository, ours, theirs):
        argv = ["merge", "--ff-only", "--no-verify", "--no-stat", "--no-progress"]
        return answer(repository.run([*argv, theirs]))
    return _merge(repository, name, ours, theirs)


def _has(repository: Repository, commit: str, other: str) -> bool:
    return repository.run(["merge-base", "--is-ancestor", other, commit]).exit_code == 0


def _merge(repository: Repository, name: str, ours: str, theirs: str) -> Answer:
    """Merge two commits, and only then touch index and files.

    Not with `git merge`, which asks nested repositories whether they have changed, and
    they have settings of their own.
    """
    merged = repository.run(["merge-tree", "--write-tree", "--name-only", ours, theirs])
    if merged.exit_code != 0:
        why = f"{name} was fetched but not merged, and the files are as they were"
        return Answer(exit_code=merged.exit_code, error=f"{why}: {explain(merged)}")
    tree = merged.output.decode().split()[0]
    message = f"Merge branch '{name}' of origin"
    commit = repository.text(["commit-tree", f"-p{ours}", f"-p{theirs}", "-m", message, tree])
    repository.run(["update-index", "-q", "--refresh"])
    done = repository.run(["read-tree", "-m", "-u", "--no-recurse-submodules", ours, commit])
    if done.exit_code == 0:
        repository.text(["update-ref", "-m", f"pull: merge {name}", "HEAD", commit, ours])
    return answer(done, f"merged {name} as {commit[:12]}")


def _tracking(name: str) -> str:
    return f"refs/remotes/origin/{name}"


def _fetch_branch(context: ToolContext, remote: Remote, name: str) -> Finished:
    return _fetch(context, remote, f"+refs/heads/{name}:{_tracking(name)}")


def _fetch(context: ToolContext, remote: Remote, refspec: str) -> Finished:
    argv = [*FETCH, *remote.reading(), "--", remote.url, refspec]
    return context.repository.run(argv, remote=remote)


OPERATIONS: tuple[Operation[Any], ...] = (
    CLONE,
    Operation("git", "push", Push, push, "Push a branch to the allowed remote."),
    Operation("git", "pull", Pull, pull, "Fetch a branch and merge it.", edits=True),
    Operation("git", "fetch", Fetch, fetch, "Fetch branches of the allowed remote."),
)
