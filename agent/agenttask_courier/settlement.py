"""What is left of a settled run: its files, its final digest, its receipt. No clocks here."""

from dataclasses import replace
from typing import Any

from agenttask_api.door import Receipt
from agenttask_courier.inbox import Inbox, StoredFile, stored
from agenttask_courier.journal import log
from agenttask_courier.judge import PATCH_NAME, Evidence
from agenttask_courier.result import Account, build_report, count_operations, pushed_branch

REPORT_NAME = "report.json"
WORKSPACE_REPORT_NAME = "workspace-report.json"


def gather_files(inbox: Inbox, evidence: Evidence) -> tuple[StoredFile, ...]:
    """Return every artifact: the agent's, the patch, the agent's whole report."""
    files = list(inbox.artifacts.values())
    if evidence.patch:
        files.append(stored(PATCH_NAME, evidence.patch))
    try:
        if inbox.report:
            path = inbox.new_file()
            path.write_text(inbox.report.model_dump_json(by_alias=True), encoding="utf-8")
            files.append(stored(REPORT_NAME, path))
    except OSError as error:
        log("report.unwritten", error=str(error))  # The outcome must come out all the same.
    return tuple(files)


def with_report(account: Account, inbox: Inbox) -> Account:
    """Return the account with the workspace report among its files."""
    report = build_report(account)
    if report is None:
        return account
    try:
        path = inbox.new_file()
        path.write_text(report.model_dump_json(), encoding="utf-8")
        return replace(account, files=(*account.files, stored(WORKSPACE_REPORT_NAME, path)))
    except OSError as error:
        log("report.unwritten", error=str(error))
        return account


def final_words(account: Account) -> dict[str, Any]:
    """Return the fields of the final digest, apart from what NATS took."""
    outcome, evidence = account.outcome, account.evidence
    counts = count_operations(account.report)
    tests = evidence.verification.tests if evidence.verification else None
    return {
        "final": True,
        "reason": outcome.reason,
        "phase": outcome.phase,
        "verdict": outcome.verdict,
        "message": outcome.message,
        "branch": pushed_branch(account),
        "tests": (tests.passed, tests.failed, tests.skipped) if tests else None,
        "operations": (counts.total, counts.failed, counts.denied),
        **_change(evidence),
        **_report(account),
    }


def _report(account: Account) -> dict[str, Any]:
    report = build_report(account)
    if report is None:
        return {}
    return {"gate": report.gate.value, "rigor": report.rigor, "score": report.score}


def make_receipt(account: Account) -> Receipt:
    """Return what the agent is told."""
    outcome, changes = account.outcome, account.evidence.changes
    return Receipt(
        phase=outcome.phase,
        reason=outcome.reason,
        message=outcome.message,
        commit_sha=changes.commit if changes else None,
    )


def _change(evidence: Evidence) -> dict[str, Any]:
    changes = evidence.changes
    if changes is None:
        return {}
    return {
        "base": changes.base,
        "commit": changes.commit,
        "files": len(changes.entries),
        "insertions": changes.insertions,
        "deletions": changes.deletions,
    }
