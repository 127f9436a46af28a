"""Brings in what a run leaves in its workspace: one commit, one bundle.

The harness commits, not the model: whatever ended the run, the work that is there
is handed over, and the courier decides what it is worth.
"""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.repository import Repository, explain
from agenttask_agent.tools.staging import stage
from agenttask_api.door import MAX_BUNDLE_BYTES

MAX_SUBJECT = 72


@dataclass(frozen=True)
class Harvest:
    """`commit` is None when nothing differs from the base."""

    commit: str | None
    bundle: Path | None
    problem: str = ""
    """Why work that is there could not be brought in."""


def subject_of(prompt: str) -> str:
    """Return the first line of the task as a commit subject."""
    lines = (re.sub(r"[^\x20-\uffff]", " ", line).strip(" #*-") for line in prompt.splitlines())
    first = next((line for line in lines if line), "Work on the task")
    return first if len(first) <= MAX_SUBJECT else first[: MAX_SUBJECT - 3].rstrip() + "..."


def bring_in(repository: Repository, base: str, message: str, bundle: Path) -> Harvest:
    """Commit what is left and bundle base..HEAD; never raises for the repository's state."""
    problem = ""
    try:
        _commit_rest(repository, message)
    except ToolError as error:
        problem = f"the rest was not committed: {error}"
    try:
        return _bundle(repository, base, bundle, problem)
    except ToolError as error:
        return Harvest(None, None, problem or f"no bundle: {error}")


def _commit_rest(repository: Repository, message: str) -> None:
    with contextlib.suppress(OSError):
        (repository.root / ".git" / "index.lock").unlink()
    staged = stage(repository)
    if staged.exit_code != 0:
        raise ToolError(explain(staged))
    if repository.run(["diff", "--cached", "--quiet", "--ignore-submodules=all"]).exit_code == 0:
        return
    repository.text(
        [
            "commit",
            "--no-verify",
            "--no-gpg-sign",
            "--quiet",
            "--cleanup=strip",
            f"--message={message}",
        ]
    )


def _bundle(repository: Repository, base: str, bundle: Path, problem: str) -> Harvest:
    head = repository.head()
    if head is None or head == base:
        return Harvest(None, None, problem)
    repository.text(["bundle", "create", "--quiet", str(bundle), f"{base}..HEAD"])
    if bundle.stat().st_size > MAX_BUNDLE_BYTES:
        return Harvest(head, None, f"the bundle is larger than {MAX_BUNDLE_BYTES} bytes")
    return Harvest(head, bundle, problem)
