"""Build the AgentResult: the agent's report beside what the courier measured."""

from dataclasses import dataclass

from agenttask_api.events import artifact_bucket, artifact_key, result_id, trace_id
from agenttask_api.report import Timings, WorkspaceReport, make_report
from agenttask_api.result import (
    MAX_RESULT_BYTES,
    AgentReport,
    AgentResult,
    Change,
    ResultArtifacts,
)
from agenttask_api.status import ArtifactRef, OperationCounts, Phase, Usage
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.changes import printable
from agenttask_courier.decision import Outcome
from agenttask_courier.inbox import StoredFile
from agenttask_courier.journal import now
from agenttask_courier.judge import Evidence
from agenttask_courier.settings import Settings

_EMPTY_REPORT = AgentReport(stop_reason="")
_MAX_MESSAGE_CHARACTERS = 4096


@dataclass(frozen=True)
class Account:
    """Everything a result is made of."""

    settings: Settings
    document: TaskDocument
    base: str
    outcome: Outcome
    evidence: Evidence
    report: AgentReport | None
    usage: Usage
    files: tuple[StoredFile, ...] = ()
    events_dropped: int = 0
    timings: Timings = Timings.model_construct()


def build_result(account: Account) -> AgentResult:
    """Return the whole result, however large."""
    identity, settings = account.document.identity, account.settings
    report = account.report or _EMPTY_REPORT
    outcome, verification = account.outcome, account.evidence.verification
    succeeded = outcome.phase is Phase.SUCCEEDED
    return AgentResult(
        event_id=result_id(identity, settings.index, settings.pod_uid),
        ts=now(),
        trace_id=trace_id(identity.uid),
        task_id=identity.task_id,
        run_key=identity.run_key,
        index=settings.index,
        pod_uid=settings.pod_uid,
        success=succeeded,
        verdict=outcome.verdict,
        stop_reason=outcome.reason,
        message=outcome.message,
        error=None if succeeded else outcome.message or outcome.reason,
        operations=report.operations,
        operation_counts=count_operations(report),
        artifacts=ResultArtifacts(
            change=build_change(account),
            tests=verification.tests if verification else None,
            refs=tuple(_ref(account, file) for file in account.files),
        ),
        verification=verification,
        audit_trail=report.audit_trail,
        reasoning_log=report.reasoning_log,
        usage=account.usage,
        model=report.model,
        summary=report.summary,
        plan=report.plan,
        requirements=report.requirements,
        agent_tests=report.tests,
        events_dropped=account.events_dropped,
        report=build_report(account),
    )


def build_report(account: Account) -> WorkspaceReport | None:
    """Return what the checks came to; None where there was no change to check."""
    changes, document = account.evidence.changes, account.document
    if changes is None:
        return None
    setup = [step.name for step in document.setup]
    return make_report(account.evidence.verification, setup, changes.commit, account.timings)


def build_change(account: Account) -> Change:
    """Return the change as judged; without one only the base is set."""
    found = account.evidence.changes
    if found is None:
        return Change(base_commit=account.base)
    return Change(
        base_commit=found.base,
        commit_sha=found.commit,
        branch=pushed_branch(account),
        pushed=bool(pushed_branch(account)),
        files_changed=tuple(printable(path) for path in found.paths),
        insertions=found.insertions,
        deletions=found.deletions,
    )


def pushed_branch(account: Account) -> str:
    """Return the branch that holds the change at the git server, empty = none does."""
    return account.document.branch() if account.evidence.pushed else account.evidence.kept


def count_operations(report: AgentReport | None) -> OperationCounts:
    """Return the counts of the agent's operations; denied ones are not failed ones."""
    operations = report.operations if report else ()
    return OperationCounts(
        total=len(operations),
        failed=sum(not o.success and not o.denied for o in operations),
        denied=sum(o.denied for o in operations),
    )


def result_payload(result: AgentResult) -> bytes:
    """Return the result as published: at most MAX_RESULT_BYTES, visibly cut if it must be."""
    payload = _json(result)
    while len(payload) > MAX_RESULT_BYTES:
        shorter = _shortened(result)
        if shorter is None:
            break
        result = shorter
        payload = _json(result)
    return payload


def _shortened(result: AgentResult) -> AgentResult | None:
    """Halve the longest part, keeping what came last; None when there is nothing to halve."""
    lists = {name: getattr(result, name) for name in ("operations", "audit_trail", "reasoning_log")}
    sizes = {name: sum(len(str(item)) for item in items) for name, items in lists.items()}
    name = max(sizes, key=lambda key: sizes[key])
    if lists[name]:
        kept = lists[name][len(lists[name]) // 2 + len(lists[name]) % 2 :]
        return result.model_copy(update={name: kept, "truncated": True})
    change = result.artifacts.change
    if not change.files_changed:
        return None
    fewer = change.model_copy(
        update={"files_changed": change.files_changed[: len(change.files_changed) // 2]}
    )
    artifacts = result.artifacts.model_copy(update={"change": fewer})
    return result.model_copy(update={"artifacts": artifacts, "truncated": True})


def _json(result: AgentResult) -> bytes:
    return result.model_dump_json().encode()


def _ref(account: Account, file: StoredFile) -> ArtifactRef:
    identity, settings = account.document.identity, account.settings
    bucket = artifact_bucket(identity.namespace)
    key = artifact_key(identity, settings.index, settings.pod_uid, file.name)
    return ArtifactRef(
        name=file.name, ref=f"nats://{bucket}/{key}", size=file.size, sha256=file.sha256
    )
