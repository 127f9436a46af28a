"""From a run's end to the record that later tasks may be given, and the news of it. Pure.

What was measured comes from the status; the full result, where NATS had it, adds the whole
list of files, what was done, and the agent's own account.
"""

import hashlib
from collections import Counter

from agenttask_api import events
from agenttask_api.contextrecord import (
    MAX_DECISIONS,
    MAX_FILES,
    MAX_GOAL_CHARACTERS,
    MAX_RECORD_BYTES,
    MAX_TEXT_CHARACTERS,
    UPDATED,
    ContextRecord,
    ContextUpdated,
    RecordedDecision,
    record_key,
    record_subject,
    updated_subject,
)
from agenttask_api.result import AgentResult, Thought
from agenttask_api.status import AgentTaskStatus, ArtifactsStatus, OperationCounts
from agenttask_operator.facts import Defaults
from agenttask_operator.messages import Message
from agenttask_operator.observed import Task
from agenttask_operator.words import shorten

TELLING = ("decision", "conclusion")
CALL = "call "
"""How the loop's log begins a decision that is nothing but calls of tools."""
MAX_NAMES = 60


def build_record(task: Task, status: AgentTaskStatus, result: AgentResult | None) -> ContextRecord:
    """Return the record of the run that the status speaks of, in at most 64 KiB."""
    run = status.run
    # The spec may ask for another run already: then it says nothing of this one.
    spec = task.spec if task.spec and run and task.spec.run_key() == run.key else None
    artifacts = status.artifacts or ArtifactsStatus()
    files = (result.artifacts.change.files_changed if result else ()) or artifacts.files_changed
    operations = result.operations if result else ()
    names = Counter(o.operation for o in operations)
    record = ContextRecord(
        task_id=task.task_id,
        uid=task.uid,
        run_id=run.id if run else "",
        run_key=run.key if run else "",
        role=spec.role.value if spec else "",
        goal=shorten((spec.prompt or "") if spec else "", MAX_GOAL_CHARACTERS),
        phase=status.phase.value,
        verdict=status.verdict.value,
        reason=status.reason,
        message=status.message,
        completed=run.completion_time if run else "",
        repo=spec.repo.url if spec else "",
        branch=artifacts.branch,
        base_commit=artifacts.base_commit,
        commit=(artifacts.commit_sha or "") if artifacts.branch else "",
        files=files[:MAX_FILES],
        files_count=artifacts.files_changed_count or len(files),
        insertions=artifacts.insertions,
        deletions=artifacts.deletions,
        tests=artifacts.tests,
        operations=status.operations or OperationCounts(),
        operations_by_name=dict(names.most_common(MAX_NAMES)),
        decisions=_decisions(result.reasoning_log if result else ()),
        summary=shorten(result.summary, MAX_TEXT_CHARACTERS) if result else "",
        truncated=len(files) > MAX_FILES,
    )
    return _fit(record)


def record_messages(
    task: Task, status: AgentTaskStatus, result: AgentResult | None, defaults: Defaults
) -> tuple[Message, ...]:
    """Return the record for the bucket and the news of it, in that order."""
    record = build_record(task, status, result)
    payload = record.model_dump_json().encode()
    place = (defaults.cluster_id, *task.key)
    event_id = events.context_id(task.uid, record.run_key)
    news = ContextUpdated(
        event_id=event_id,
        ts=record.completed,
        trace_id=events.trace_id(task.uid),
        task_id=task.task_id,
        run_key=record.run_key,
        key=record_key(*place),
        sha256=hashlib.sha256(payload).hexdigest(),
        phase=record.phase,
        verdict=record.verdict,
        commit=record.commit,
    )

    def message(subject: str, id_: str, kind: str, body: bytes) -> Message:
        headers = events.headers(id_, kind, task.task_id, defaults.cluster_id, record.completed)
        return Message(subject, tuple(headers.items()), body)

    record_id = events.record_id(task.uid, record.run_key)
    return (
        message(record_subject(*place), record_id, "context.record", payload),
        message(
            updated_subject(task.task_id),
            event_id,
            f"context.{UPDATED}",
            news.model_dump_json().encode(),
        ),
    )


def _decisions(thoughts: tuple[Thought, ...]) -> tuple[RecordedDecision, ...]:
    """Return the last decisions, each with its why, and conclusions.

    Early ones are what later ones revised. A call without a word of why is left out: the
    counts of operations say as much.
    """
    why = {t.iteration: t.content for t in thoughts if t.type == "analysis"}
    told = ((t, _with_why(t, why.get(t.iteration, ""))) for t in thoughts if t.type in TELLING)
    found = [
        RecordedDecision(
            iteration=t.iteration, type=t.type, content=shorten(content, MAX_TEXT_CHARACTERS)
        )
        for t, content in told
        if content
    ]
    return tuple(found[-MAX_DECISIONS:])


def _with_why(thought: Thought, why: str) -> str:
    if thought.type != "decision" or not thought.content.startswith(CALL):
        return thought.content
    return f"{why} ({thought.content})" if why else ""


def _fit(record: ContextRecord) -> ContextRecord:
    """Halve the lists until the record fits; the outcome stays whole."""
    while len(record.model_dump_json().encode()) > MAX_RECORD_BYTES:
        decisions = record.decisions[len(record.decisions) // 2 + 1 :]
        files = record.files[: len(record.files) // 2]
        update = {"decisions": decisions, "files": files, "truncated": True}
        record = record.model_copy(update=update)
    return record
