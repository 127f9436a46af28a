"""The repository a local run works on: fetched once with the user's own git.

What the user's git may reach (his configuration, helpers, ssh agent) is used for three
things and no more: to fetch the revision into a bare repository that stands for the
remote, to push the judged commit when asked, and to bring the branch into his checkout.
Everything between runs as in the pod, against that stand-in, and knows no credential.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agenttask_api.taskdocument import TaskDocument
from agenttask_cli.checkout import Checkout, users_environment
from agenttask_courier import push
from agenttask_courier.clone import BASE_REF, explain, fetch, find_target
from agenttask_courier.credentials import GitAccess
from agenttask_courier.git import HARDENED, Git, GitFailed

_USERS_OWN = ("credential.", "protocol.", "http.")
"""Settings that are the user's where his git is asked."""


def users_git(git_dir: Path, tmp: Path, environ: Mapping[str, str]) -> Git:
    """Return git as the user has it set up, on a repository of ours."""
    environment = users_environment(environ)
    environment["GIT_CONFIG_GLOBAL"] = str(_included(tmp / "gitconfig", environ))
    environment["GIT_CONFIG_NOSYSTEM"] = environ.get("GIT_CONFIG_NOSYSTEM", "0")
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "TMPDIR": str(tmp)}
    settings = tuple(s for s in HARDENED if not s.startswith(_USERS_OWN))
    return Git(git_dir, tmp, environment, settings=settings)


def _included(file: Path, environ: Mapping[str, str]) -> Path:
    """Return a config file that includes what git would read for this user."""
    home = Path(environ.get("HOME", "/"))
    xdg = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    usual = (xdg / "git" / "config", home / ".gitconfig")
    chosen = environ.get("GIT_CONFIG_GLOBAL")
    files = usual if chosen is None else (Path(chosen),)
    lines = [f"[include]\n\tpath = {_quoted(path)}\n" for path in files if path.is_file()]
    file.write_text("".join(lines), encoding="utf-8")
    return file


def _quoted(path: Path) -> str:
    text = str(path.absolute()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def stand_in_access(source: Path, url: str) -> GitAccess:
    """Return how the courier's git takes the stand-in for the repository at the URL."""
    return GitAccess({}, (f"url.{source}.insteadOf={url}", "protocol.file.allow=always"))


def fetch_source(git: Git, document: TaskDocument) -> None:
    """Make the stand-in from the real remote; raises CloneError."""
    url = document.repo.url
    try:
        _init(git, url)
        target = find_target(git, document)
        fetch(git, target, document.repo.depth)
        if target.ref:
            git.run("update-ref", target.ref, BASE_REF)
        if target.output_commit:
            ref = f"refs/heads/{document.branch()}"
            options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1")
            git.run("fetch", *options, "--end-of-options", "origin", f"+{ref}:{ref}")
    except GitFailed as error:
        raise explain(error, url, ()) from error


def stand_in_for(git: Git, document: TaskDocument, checkout: Checkout) -> None:
    """Make the stand-in from a checkout: its HEAD is what the task's revision means here.

    Its objects are lent, not copied; the courier copies what the revision needs.
    """
    _init(git, document.repo.url)
    alternates = git.git_dir / "objects" / "info" / "alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{checkout.objects}\n", encoding="utf-8")
    if checkout.shallow:
        shutil.copyfile(checkout.shallow, git.git_dir / "shallow")
    git.run("update-ref", f"refs/heads/{document.repo.revision}", checkout.head)


def clone_out(source: Path, url: str, branch: str, target: Path, tmp: Path) -> None:
    """Leave a repository of its own with the judged branch checked out; origin is the real one."""
    options = ("--quiet", "--no-local", "--template=", "--branch", branch)
    git = Git(source, tmp, config=("protocol.file.allow=always",))
    git.run("clone", *options, "--", str(source), str(target))
    Git(target / ".git", tmp).run("config", "remote.origin.url", url)


@dataclass(frozen=True)
class PushOn:
    """Pushes to the stand-in and, where the user asked for it, to the real remote."""

    users: Git | None

    def __call__(
        self, git: Git, url: str, commit: str, branch: str, expected: str, secrets: tuple[str, ...]
    ) -> str:
        """Return why it was refused, or an empty text."""
        refused = push.push(git, url, commit, branch, expected, secrets)
        if refused or not self.users:
            return refused
        return push.push(self.users, url, commit, branch, expected, secrets)

    def arrived(self, git: Git, commit: str, branch: str) -> bool | None:
        """Return whether the farthest repository that is pushed to has the commit."""
        return push.arrived(self.users or git, commit, branch)


def _init(git: Git, url: str) -> None:
    git.run("init", "--quiet", "--bare", "--template=")
    git.run("config", "remote.origin.url", url)
    git.run("config", "uploadpack.allowAnySHA1InWant", "true")
