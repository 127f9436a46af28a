"""Push exactly the judged commit, and only onto what the branch was at clone time.

Somebody else's work on the branch is never overwritten: `--force-with-lease` compares
on the server. Pushing what is already there is a success, so a repeat is harmless.
"""

import time
from collections.abc import Callable

from agenttask_courier import remote
from agenttask_courier.clone import LIST_TIMEOUT_SECONDS, list_refs
from agenttask_courier.git import Git, GitFailed

TRIES = 3
PAUSES_SECONDS = (1.0, 3.0)
PUSH_TIMEOUT_SECONDS = 300.0
LAST_LOOK_SECONDS = 3.0
"""For one question in the last seconds of a pod."""


UNKNOWN = "; the branch could not be read afterwards, so the push may have arrived"


class BranchMoved(Exception):
    """Somebody else has changed the branch since the clone; nothing was overwritten."""


def push(
    git: Git,
    url: str,
    commit: str,
    branch: str,
    expected: str,
    secrets: tuple[str, ...],
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return why the server refused, or an empty text; raises BranchMoved.

    `expected` is what the branch must be now; empty = it must not exist yet.
    """
    ref = f"refs/heads/{branch}"
    for attempt in range(TRIES):
        try:
            _push_once(git, commit, ref, expected)
        except GitFailed as error:
            now = _now(git, ref)
            if now == commit:
                return ""  # An earlier try has arrived although its answer was lost.
            if now is not None and now != expected:
                raise BranchMoved(f"branch {branch} has changed since the clone") from error
            failure = remote.explain(error, url, secrets)
            if not failure.transient or attempt == TRIES - 1:
                return _refusal(failure) + (UNKNOWN if now is None else "")
            sleep(PAUSES_SECONDS[attempt])
        else:
            return ""
    raise AssertionError("unreachable: the last try returns")


def _push_once(git: Git, commit: str, ref: str, expected: str) -> None:
    lease = f"--force-with-lease={ref}:{expected}"
    options = ("--porcelain", "--no-verify", "--no-signed", lease)
    git.run("push", *options, "--", "origin", f"{commit}:{ref}", timeout=PUSH_TIMEOUT_SECONDS)


def arrived(git: Git, commit: str, branch: str) -> bool | None:
    """Look once whether the branch has the commit; None when the server does not say."""
    now = _now(git, f"refs/heads/{branch}", LAST_LOOK_SECONDS)
    return None if now is None else now == commit


def _now(git: Git, ref: str, seconds: float = LIST_TIMEOUT_SECONDS) -> str | None:
    """Ask what the branch is now, empty = there is none; what git says in prose is no proof."""
    try:
        return list_refs(git, ref, seconds=seconds).get(ref, "")
    except GitFailed:
        return None


def _refusal(failure: remote.Failure) -> str:
    if failure.trouble is remote.Trouble.AUTH:
        return f"{failure.message}; the Secret must allow pushing"
    return failure.message
