"""Put a judged change on top of a branch that moved meanwhile: only cleanly, only once.

In the object database alone: no work tree, no index, no merge driver of the candidate's.
What comes out is a new candidate that must be judged like the first.
"""

from agenttask_courier.changes import Changes, list_changes
from agenttask_courier.git import Git, GitFailed

MAX_COMMITS = 100
MOVED_REF = "refs/agenttask/moved"
FETCH_TIMEOUT_SECONDS = 300.0
_PERSON = "%an%x00%ae%x00%ad"


class NotClean(Exception):
    """The change does not fit on top of the branch; the message says why."""


def rebase(
    git: Git, branch: str, changes: Changes, expected: str, author: tuple[str, str]
) -> Changes:
    """Return the change on top of the branch as it now is; raises NotClean or GitFailed.

    `expected` is what the branch was at clone time, `author` the name and email that runs
    commit with.
    """
    if expected != changes.base:
        raise NotClean("the change was not made on that branch")
    onto = _fetch(git, branch)
    _check_newcomers(git, expected, onto, author[1])
    tip = onto
    for commit in _commits(git, changes):
        tip = _picked(git, commit, tip, author)
    rebased = list_changes(git, onto, tip)
    if not rebased.entries:
        raise NotClean("the branch has the same change already")
    return rebased


def _fetch(git: Git, branch: str) -> str:
    refspec = f"+refs/heads/{branch}:{MOVED_REF}"
    options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options")
    git.run("fetch", *options, "origin", refspec, timeout=FETCH_TIMEOUT_SECONDS)
    return git.text("rev-parse", "--verify", f"{MOVED_REF}^{{commit}}")


def _check_newcomers(git: Git, expected: str, onto: str, email: str) -> None:
    """Build on people's commits only.

    What another run committed may be this very run's: a pod on a lost node goes on for a
    while beside its successor, and their work must not pile up.
    """
    try:
        git.run("merge-base", "--is-ancestor", expected, onto)
    except GitFailed as error:
        raise NotClean("the branch was rewritten") from error
    committers = git.run("log", "--format=%ce", onto, f"^{expected}").decode("utf-8", "replace")
    if email in committers.splitlines():
        raise NotClean("a run has pushed to it")


def _commits(git: Git, changes: Changes) -> list[str]:
    listing = git.text("rev-list", "--reverse", "--parents", changes.commit, f"^{changes.base}")
    rows = [line.split() for line in listing.splitlines()]
    if any(len(row) != 2 for row in rows):
        raise NotClean("the change holds merges")
    if len(rows) > MAX_COMMITS:
        raise NotClean(f"the change has more than {MAX_COMMITS} commits")
    return [row[0] for row in rows]


def _picked(git: Git, commit: str, tip: str, author: tuple[str, str]) -> str:
    """Return a commit on `tip` with what the candidate's history is at `commit`.

    The merge base stays where the histories parted, so what earlier commits brought is the
    same on both sides.
    """
    try:
        tree = git.text("merge-tree", "--write-tree", "--no-messages", tip, commit)
    except GitFailed as error:
        if error.status == 1:
            raise NotClean("the change conflicts with what is there now") from error
        raise
    return _commit(git, commit, tree, tip, author)


def _commit(git: Git, like: str, tree: str, parent: str, author: tuple[str, str]) -> str:
    said = git.run("log", "-1", "--date=raw", f"--format={_PERSON}%x00%B", like)
    name, email, date, message = said.split(b"\0", 3)
    people = {
        "GIT_AUTHOR_NAME": _text(name) or author[0],
        "GIT_AUTHOR_EMAIL": _text(email) or author[1],
        "GIT_AUTHOR_DATE": _text(date),
        "GIT_COMMITTER_NAME": author[0],
        "GIT_COMMITTER_EMAIL": author[1],
    }
    made = git.run("commit-tree", "-p", parent, "-F", "-", tree, stdin=message, extra=people)
    return made.decode().strip()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()
