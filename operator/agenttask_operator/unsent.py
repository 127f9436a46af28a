"""Ends of earlier runs that NATS has not taken: they wait in the status until it has.

Pure. A new run does not wait for NATS, and its status replaces that of the run before; what
must still be said of that one is kept in `status.outbox.pending`.
"""

from datetime import datetime

from agenttask_api import events
from agenttask_api.status import (
    MAX_RUNS,
    AgentTaskStatus,
    ArtifactsStatus,
    OutboxStatus,
    Phase,
    Run,
    UnsentEnd,
    Verdict,
)
from agenttask_operator.facts import Facts
from agenttask_operator.words import shorten

MESSAGE_CHARACTERS = 256
"""Of each end that waits: ten of them share a status of 16 KiB with everything else."""


def unsent_ends(facts: Facts, key: str, last: AgentTaskStatus) -> tuple[UnsentEnd, ...]:
    """Return the ends that wait; `last` is how the run before the one of that key ended."""
    if not facts.defaults.nats_url:
        return ()
    waiting = kept_ends(facts.task.status)
    if last.run and last.run.key != key and not _told(last):
        waiting += (_unsent(last, last.run),)
    return tuple(end for end in waiting if not _taken(facts, end))[-MAX_RUNS:]


def kept_ends(status: AgentTaskStatus) -> tuple[UnsentEnd, ...]:
    """Return the ends that the status holds."""
    return status.outbox.pending if status.outbox else ()


def due_end(facts: Facts, now: datetime) -> UnsentEnd | None:
    """Return the first end that can be tried (again) now."""
    return next((e for e in _open(facts) if _wait(facts, e, now) <= 0), None)


def next_try(facts: Facts, now: datetime) -> float | None:
    """Return the seconds until an end can be tried again; None = none waits."""
    return min((_wait(facts, e, now) for e in _open(facts)), default=None)


def status_of(end: UnsentEnd) -> AgentTaskStatus:
    """Return what is left of the final status of that run."""
    run = Run(
        id=end.id,
        key=end.key,
        number=end.number,
        job_name=end.job_name,
        start_time=end.start_time,
        completion_time=end.completion_time,
    )
    return AgentTaskStatus(
        phase=Phase(end.phase),
        verdict=Verdict(end.verdict),
        reason=end.reason,
        message=end.message,
        run=run,
        artifacts=ArtifactsStatus(commit_sha=end.commit_sha) if end.commit_sha else None,
    )


def outbox_status(published: str, pending: tuple[UnsentEnd, ...]) -> OutboxStatus | None:
    """Return what the status says of NATS; None when there is nothing to say."""
    return OutboxStatus(published=published, pending=pending) if published or pending else None


def _unsent(status: AgentTaskStatus, run: Run) -> UnsentEnd:
    return UnsentEnd(
        id=run.id,
        key=run.key,
        number=run.number,
        job_name=run.job_name,
        phase=status.phase.value,
        verdict=status.verdict.value,
        reason=status.reason,
        message=shorten(status.message, MESSAGE_CHARACTERS),
        commit_sha=(status.artifacts.commit_sha or "") if status.artifacts else "",
        start_time=run.start_time,
        completion_time=run.completion_time,
    )


def _told(status: AgentTaskStatus) -> bool:
    run, outbox = status.run, status.outbox
    return bool(outbox and run and outbox.published == run.key)


def _open(facts: Facts) -> tuple[UnsentEnd, ...]:
    return tuple(e for e in kept_ends(facts.task.status) if not _taken(facts, e))


def _taken(facts: Facts, end: UnsentEnd) -> bool:
    tried = facts.publications.get(events.terminal_id(facts.task.uid, end.key))
    return bool(tried and tried.done)


def _wait(facts: Facts, end: UnsentEnd, now: datetime) -> float:
    tried = facts.publications.get(events.terminal_id(facts.task.uid, end.key))
    return (tried.retry_at - now).total_seconds() if tried and tried.retry_at else 0.0
