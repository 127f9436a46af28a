"""The user's own checkout: looked at, lent from, and given a branch; never changed otherwise.

Here git runs as the user would run it in that folder, with all of his settings.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agenttask_cli.errors import BadInput

KEY_VARIABLE = "AGENTTASK_MODEL_API_KEY"
TIMEOUT_SECONDS = 120.0
_OF_A_REPOSITORY = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
        "GIT_OBJECT_DIRECTORY",
        "GIT_NAMESPACE",
    }
)
"""Set by git for its hooks and aliases: they name a repository that is not meant here."""


class CheckoutError(Exception):
    """git refused something in the user's checkout; the text has its words."""


@dataclass(frozen=True)
class Checkout:
    """What is used of it: commits, never files."""

    folder: Path
    objects: Path
    head: str
    branch: str
    """Empty when HEAD is detached."""
    dirty: int
    """Changed and untracked files, which are not part of the run."""
    shallow: Path | None


def users_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the user's environment for his git: without the model's key, which git needs not."""
    dropped = _OF_A_REPOSITORY | {KEY_VARIABLE}
    return {k: v for k, v in environ.items() if k not in dropped}


def look_at(folder: Path, environ: Mapping[str, str]) -> Checkout:
    """Return what the folder has; raises BadInput when it is no checkout with a commit."""
    if not folder.is_dir():
        raise BadInput(f"--workspace {folder}: there is no such folder")
    try:
        top = Path(_git(folder, environ, "rev-parse", "--show-toplevel"))
        common = (folder / _git(folder, environ, "rev-parse", "--git-common-dir")).resolve()
        head = _git(folder, environ, "rev-parse", "--verify", "HEAD^{commit}")
        changed = _git(folder, environ, "status", "--porcelain", "--untracked-files=normal")
        branch = _git(folder, environ, "rev-parse", "--abbrev-ref", "HEAD")
    except CheckoutError as error:
        raise BadInput(f"--workspace {folder}: no git checkout with a commit: {error}") from error
    shallow = common / "shallow"
    return Checkout(
        folder=top,
        objects=common / "objects",
        head=head,
        branch="" if branch == "HEAD" else branch,
        dirty=len(changed.splitlines()),
        shallow=shallow if shallow.exists() else None,
    )


def bring_back(source: Path, checkout: Checkout, branch: str, environ: Mapping[str, str]) -> str:
    """Fetch the judged branch into the checkout and return its name there.

    A branch that is there already is never moved: the new one gets a number. Raises
    CheckoutError.
    """
    name = _free_name(checkout, branch, environ)
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
    refspec = f"refs/heads/{branch}:refs/heads/{name}"
    _git(checkout.folder, environ, "fetch", *options, "--", str(source), refspec)
    return name


def _free_name(checkout: Checkout, branch: str, environ: Mapping[str, str]) -> str:
    listed = _git(checkout.folder, environ, "for-each-ref", "--format=%(refname)", "refs/heads")
    taken = set(listed.splitlines())
    names = [branch, *(f"{branch}-{number}" for number in range(2, 1000))]
    free = next((name for name in names if f"refs/heads/{name}" not in taken), None)
    if free is None:
        raise CheckoutError(f"every name from {branch} to {names[-1]} is taken")
    return free


def _git(folder: Path, environ: Mapping[str, str], *arguments: str) -> str:
    environment = {**users_environment(environ), "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckoutError(f"git {arguments[0]}: {error}") from error
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise CheckoutError(words or f"git {arguments[0]} ended with {done.returncode}")
    return done.stdout.decode("utf-8", "surrogateescape").strip()
