"""Push exactly the judged commit, and only onto what the branch was at clone time.

Somebody else's work on the branch is never overwritten: `--force-with-lease` compares
on the server. Pushing what is already there is a success, so a repeat is harmless.
"""

import time
from collections.abc import Callable

from agenttask_courier import remote
from agenttask_courier.clone import list_refs
from agenttask_courier.git import Git, GitFailed

TRIES = 3
PAUSES_SECONDS = (1.0, 3.0)
PUSH_TIMEOUT_SECONDS = 300.0


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
            now = _now(git, ref, expected)
            if now == commit:
                return ""  # An earlier try has arrived although its answer was lost.
            if now != expected:
                raise BranchMoved(f"branch {branch} has changed since the clone") from error
            failure = remote.explain(error, url, secrets)
            if not failure.transient or attempt == TRIES - 1:
                return _refusal(failure)
            sleep(PAUSES_SECONDS[attempt])
        else:
            return ""
    raise AssertionError("unreachable: the last try returns")


def _push_once(git: Git, commit: str, ref: str, expected: str) -> None:
    lease = f"--force-with-lease={ref}:{expected}"
    options = ("--porcelain", "--no-verify", "--no-signed", lease)
    git.run("push", *options, "--", "origin", f"{commit}:{ref}", timeout=PUSH_TIMEOUT_SECONDS)


def _now(git: Git, ref: str, otherwise: str) -> str:
    """Ask what the branch is now, empty = there is none; what git says in prose is no proof."""
    try:
        return list_refs(git, ref).get(ref, "")
    except GitFailed:
        return otherwise


def _refusal(failure: remote.Failure) -> str:
    if failure.trouble is remote.Trouble.AUTH:
        return f"{failure.message}; the Secret must allow pushing"
    return failure.message
