"""The agent's workspace: a checkout and a remote of its own, sharing no inode with ours.

Objects are copied as files, not cloned: quick, and neither hardlink nor alternate
lets the agent reach the pristine repository.
"""

import shutil
from pathlib import Path

from agenttask_api.clonefacts import CloneFacts
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier import submodules
from agenttask_courier.git import Git
from agenttask_courier.places import Places

AGENT_BRANCH = "agent"
_CHECKOUT_TIMEOUT_SECONDS = 600.0


def lay_out(places: Places, document: TaskDocument, facts: CloneFacts) -> None:
    """Make /workspace/remote.git and /workspace/repo at the base commit."""
    branch = base_branch(facts)
    _make_remote(places, facts.base_commit, branch)
    git = Git(places.repo / ".git", places.tmp)
    git.run("init", "--quiet", "--template=", extra={"GIT_WORK_TREE": str(_made(places.repo))})
    _copy_objects(places.pristine_repo, git.git_dir)
    _configure(git, places.agent_remote, branch, document)
    git.run("update-ref", f"refs/remotes/origin/{branch}", facts.base_commit)
    git.run("update-ref", f"refs/heads/{AGENT_BRANCH}", facts.base_commit)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{AGENT_BRANCH}")
    git.run(
        "reset",
        "--quiet",
        "--hard",
        extra={"GIT_WORK_TREE": str(places.repo)},
        timeout=_CHECKOUT_TIMEOUT_SECONDS,
    )
    for found in facts.submodules:
        submodules.write_files(places.modules, places.tmp, found, places.repo)


def base_branch(facts: CloneFacts) -> str:
    """Return the name under which the agent's remote shows the base."""
    name = facts.revision_ref.removeprefix("refs/heads/")
    return name if name and not name.startswith("refs/") else "base"


def _make_remote(places: Places, base: str, branch: str) -> None:
    git = Git(places.agent_remote, places.tmp)
    git.run("init", "--quiet", "--bare", "--template=")
    _copy_objects(places.pristine_repo, git.git_dir)
    git.run("update-ref", f"refs/heads/{branch}", base)
    git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")


def _configure(git: Git, remote: Path, branch: str, document: TaskDocument) -> None:
    values = {
        "remote.origin.url": str(remote),
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
        f"branch.{AGENT_BRANCH}.remote": "origin",
        f"branch.{AGENT_BRANCH}.merge": f"refs/heads/{branch}",
        "push.default": "current",
        "user.name": document.git.author_name,
        "user.email": document.git.author_email,
        "gc.auto": "0",
    }
    for key, value in values.items():
        git.run("config", key, value)


def _copy_objects(source: Path, target: Path) -> None:
    shutil.copytree(source / "objects", target / "objects", dirs_exist_ok=True)
    if (source / "shallow").exists():
        shutil.copyfile(source / "shallow", target / "shallow")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
