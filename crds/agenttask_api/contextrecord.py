"""What a finished task leaves for later ones: a record in the bucket `agent-context`.

It outlives the Job, its TTL and the AgentTask itself. Keys are snake_case, as in every
NATS payload. What the agent says of itself is kept apart from what was measured.
"""

from collections.abc import Iterator

from agenttask_api.schema import OpenAPIModel
from agenttask_api.status import OperationCounts, TestCounts

CONTEXT_BUCKET = "agent-context"
CONTEXT_AGE_SECONDS = 180 * 24 * 3600
MAX_RECORD_BYTES = 64 * 1024
MAX_FILES = 200
MAX_DECISIONS = 40
MAX_GOAL_CHARACTERS = 1000
MAX_TEXT_CHARACTERS = 2000
UPDATED = "updated"


class RecordedDecision(OpenAPIModel):
    """One decision or conclusion of the agent's reasoning log: its own words."""

    iteration: int
    type: str
    content: str


class ContextRecord(OpenAPIModel):
    """One finished run, as far as a later task can use it."""

    task_id: str
    uid: str
    run_id: str
    run_key: str
    role: str
    goal: str
    """The beginning of the prompt."""
    phase: str
    verdict: str = ""
    reason: str
    message: str = ""
    completed: str = ""
    """RFC 3339, UTC."""
    repo: str = ""
    branch: str = ""
    base_commit: str = ""
    commit: str = ""
    """Empty = nothing was pushed."""
    files: tuple[str, ...] = ()
    files_count: int = 0
    insertions: int = 0
    deletions: int = 0
    tests: TestCounts | None = None
    """As verification counted them."""
    operations: OperationCounts = OperationCounts()
    operations_by_name: dict[str, int] = {}
    decisions: tuple[RecordedDecision, ...] = ()
    summary: str = ""
    """The agent's own words."""
    truncated: bool = False


class ContextUpdated(OpenAPIModel):
    """Payload of `context.updated.<task_id>`."""

    event_id: str
    ts: str
    trace_id: str
    task_id: str
    run_key: str
    bucket: str = CONTEXT_BUCKET
    key: str
    sha256: str
    """Of the record's bytes: which version of it this event speaks of."""
    phase: str
    verdict: str = ""
    commit: str = ""


def record_key(cluster_id: str, namespace: str, name: str) -> str:
    """Return the record's key: the newest finished run of a task has one place."""
    return f"{cluster_id}.{namespace}.{name}"


def record_subject(cluster_id: str, namespace: str, name: str) -> str:
    """Return the subject that the record's key stands for in JetStream."""
    return f"$KV.{CONTEXT_BUCKET}.{record_key(cluster_id, namespace, name)}"


def updated_subject(task_id: str) -> str:
    """Return where the news of a record goes."""
    return f"context.{UPDATED}.{task_id}"


def render_record(record: ContextRecord) -> str:
    """Return the record as text for a prompt, the most useful first: trimming cuts the end."""
    return "\n".join(_lines(record))


def _lines(record: ContextRecord) -> Iterator[str]:
    verdict = f" ({record.verdict})" if record.verdict else ""
    yield f"Task {record.task_id}, run {record.run_id}: {record.phase}{verdict}, {record.reason}"
    yield f"Message: {record.message}"
    yield f"Asked for: {record.goal}"
    yield from _change(record)
    if record.tests:
        counts = record.tests
        yield (
            f"Tests: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"
            " (measured)"
        )
    if record.decisions:
        yield "Decisions (the agent's own words):"
        yield from (f"- [{d.iteration}] {_one_line(d.content)}" for d in record.decisions)
    if record.summary:
        yield f"Summary (the agent's own words): {record.summary}"
    yield _operations(record)


def _change(record: ContextRecord) -> Iterator[str]:
    if record.commit:
        where = f" on branch {record.branch}" if record.branch else ""
        yield f"Commit: {record.commit}{where} of {record.repo}, based on {record.base_commit}"
    if record.files:
        yield f"Files: {record.files_count}, +{record.insertions} -{record.deletions}"
        yield from (f"- {file}" for file in record.files)


def _operations(record: ContextRecord) -> str:
    counts = record.operations
    names = ", ".join(f"{name} {count}" for name, count in record.operations_by_name.items())
    told = f"Operations: {counts.total}, {counts.failed} failed, {counts.denied} denied"
    return f"{told}: {names}" if names else told


def _one_line(text: str) -> str:
    return " ".join(text.split())
