"""Parts of a status that sum up what a run did. Pure."""

from agenttask_api.digest import Digest
from agenttask_api.result import AgentResult
from agenttask_api.status import (
    MAX_FILES_CHANGED,
    AgentTaskStatus,
    ArtifactsStatus,
    OperationCounts,
    PastRun,
    Report,
    Run,
    TestCounts,
    Usage,
)
from agenttask_operator.clock import parse_time, seconds_between
from agenttask_operator.words import clean, shorten, spell_duration

MAX_REASONS = 10


def artifacts_of(digest: Digest, result: AgentResult | None) -> ArtifactsStatus:
    """Return what the run left behind."""
    counts = digest.tests
    artifacts = ArtifactsStatus(
        base_commit=digest.base,
        commit_sha=digest.commit or None,
        branch=digest.branch,
        files_changed_count=digest.files,
        insertions=digest.insertions,
        deletions=digest.deletions,
        tests=TestCounts(passed=counts[0], failed=counts[1], skipped=counts[2]) if counts else None,
    )
    return with_lists(artifacts, result) if result else artifacts


def with_lists(artifacts: ArtifactsStatus, result: AgentResult) -> ArtifactsStatus:
    """Return the artifacts with the lists that only the result holds."""
    files = tuple(shorten(clean(f), 512) for f in result.artifacts.change.files_changed)
    return artifacts.model_copy(
        update={"files_changed": files[:MAX_FILES_CHANGED], "refs": result.artifacts.refs}
    )


def report_of(digest: Digest | None, result: AgentResult | None) -> Report | None:
    """Return what the checks came to; the reasons are known from the result alone."""
    found = result.report if result else None
    if found:
        reasons = tuple(shorten(clean(r), 256) for r in found.reasons[:MAX_REASONS])
        return Report(gate=found.gate, rigor=found.rigor, score=found.score, reasons=reasons)
    if digest and digest.gate:
        return Report(gate=digest.gate, rigor=digest.rigor, score=digest.score)
    return None


def operations_of(digest: Digest) -> OperationCounts:
    """Return how often tools were used."""
    total, failed, denied = digest.operations
    return OperationCounts(total=total, failed=failed, denied=denied)


def usage_of(digest: Digest) -> Usage:
    """Return what the gate counted."""
    return Usage(
        model_calls=digest.calls,
        input_tokens=digest.input_tokens,
        output_tokens=digest.output_tokens,
        total_tokens=digest.input_tokens + digest.output_tokens,
    )


def duration_of(run: Run | None) -> str:
    """Return how long the run took, in words."""
    if not run:
        return ""
    start, end = parse_time(run.start_time or run.accepted_time), parse_time(run.completion_time)
    return spell_duration(seconds_between(start, end)) if start and end else ""


def past_run(status: AgentTaskStatus, run: Run) -> PastRun:
    """Return what is remembered of a finished run."""
    return PastRun(
        id=run.id,
        key=run.key,
        phase=status.phase.value,
        reason=status.reason,
        commit_sha=(status.artifacts.commit_sha or "") if status.artifacts else "",
        completion_time=run.completion_time,
    )
