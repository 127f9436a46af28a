"""A push that has begun: told before it, so that one that is cut off is known of.

git may be killed between the server's yes and ours, and a server may go on after its client
is gone. So a cut-off push has arrived for sure, or nobody knows.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

SHORT = 12
"""Characters of a commit id in a sentence."""


@dataclass(frozen=True)
class Begun:
    """What is being pushed, and where to."""

    branch: str
    commit: str


def write_mark(path: Path, begun: Begun | None) -> None:
    """Leave word for the courier that may have to be started again; None removes it.

    No disk is so full that it stops a push: the digest names it as well.
    """
    with contextlib.suppress(OSError):
        if begun is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(json.dumps(asdict(begun)), encoding="utf-8")


def read_mark(path: Path) -> Begun | None:
    """Return the push that a courier had begun when it died; None when there was none."""
    try:
        return Begun(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def what_became(begun: Begun, arrived: bool | None) -> str:
    """Return in words what is known; `arrived` is None when the server could not be asked."""
    start = f"the push of {begun.commit[:SHORT]} to branch {begun.branch} was cut off"
    if arrived:
        return f"{start}, and the branch has the commit: it arrived"
    if arrived is None:
        return f"{start}; the git server could not be asked whether it arrived"
    return f"{start}; when asked last, the branch did not have the commit"
