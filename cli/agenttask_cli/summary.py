"""How a run ended, as short lines for a person."""

from collections.abc import Iterator
from pathlib import Path

from agenttask_api.reasons import Reason, meaning
from agenttask_api.status import Phase
from agenttask_cli.run import Finished

_HINTS = {
    Reason.CLONE_AUTH_FAILED: "your own git has no access: try git ls-remote with the URL",
    Reason.CLONE_FAILED: "try git ls-remote with the URL",
    Reason.NO_RESULT: "see logs/agent.log below",
    Reason.INTERNAL_ERROR: "see the logs below, and please report it",
    Reason.WORKSPACE_FULL: "free some space, or set TMPDIR to a folder with more room",
    Reason.CANCELLED: "",
    Reason.MODEL_ERROR: "is the server up, and is --model-url right?",
}
"""Where the usual hint speaks of a cluster."""


def headline(finished: Finished) -> str:
    """Return phase, verdict and reason."""
    outcome = finished.account.outcome
    verdict = f" ({outcome.verdict})" if outcome.verdict else ""
    reason = f": {outcome.reason}" if outcome.reason != str(outcome.phase) else ""
    return f"{outcome.phase}{verdict}{reason}"


def facts(finished: Finished) -> Iterator[tuple[str, str]]:
    """Yield what there is to tell, as name and text."""
    account, left = finished.account, finished.left
    outcome, changes = account.outcome, account.evidence.changes
    if outcome.message:
        yield "message", outcome.message
    if outcome.phase is not Phase.SUCCEEDED and (hint := hint_for(outcome.reason)):
        yield "hint", hint
    if changes:
        count = len(changes.entries)
        files = "1 file" if count == 1 else f"{count} files"
        yield "change", f"{files}, +{changes.insertions} -{changes.deletions}"
    verification = account.evidence.verification
    if verification and verification.tests:
        tests = verification.tests
        yield "tests", f"{tests.passed} passed, {tests.failed} failed, {tests.skipped} skipped"
    if left.branch and changes:
        yield "branch", f"{left.branch} at {changes.commit[:12]} in {_where(finished)}"
    if finished.plan.asked.push and account.evidence.pushed:
        yield "pushed", f"{account.document.branch()} to {account.document.repo.url}"
    calls = account.usage.model_calls
    yield "tokens", f"{account.usage.total_tokens} in {calls} call{'' if calls == 1 else 's'}"
    yield "files", shown(left.folder)
    if finished.kept:
        yield "kept", str(finished.kept)


def hint_for(reason: Reason) -> str:
    """Return what to do about a reason on this machine."""
    return _HINTS.get(reason, meaning(reason).hint)


def _where(finished: Finished) -> str:
    checkout = finished.plan.checkout
    return shown(checkout.folder if checkout else finished.left.folder / "repo")


def shown(path: Path) -> str:
    """Return a path as a person here would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path != here and path.is_relative_to(here) else str(path)
