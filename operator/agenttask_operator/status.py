"""The status of a task, derived from facts.

Pure. Whatever is written has first been built here as a whole, by one of `waiting`,
`running`, `ended` and `refreshed`; `patch_for` then says what of it differs from what is
stored. Equal facts give an equal status, so a reconcile without news writes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agenttask_api.ledger import OF_THE_RUN
from agenttask_api.reasons import Reason
from agenttask_api.result import AgentResult
from agenttask_api.spec import AgentTaskSpec
from agenttask_api.status import (
    MAX_ATTEMPTS,
    MAX_RUNS,
    TERMINAL_PHASES,
    AgentCounts,
    AgentTaskStatus,
    Attempt,
    ConditionType,
    PastRun,
    Phase,
    Run,
    UnsentEnd,
)
from agenttask_operator import conditions
from agenttask_operator.clock import format_time
from agenttask_operator.observed import Job, Pod, Task
from agenttask_operator.outcome import Outcome
from agenttask_operator.progress import Progress, agent_started, derive_attempts
from agenttask_operator.summaries import (
    artifacts_of,
    duration_of,
    operations_of,
    past_run,
    report_of,
    usage_of,
    with_lists,
)
from agenttask_operator.trimming import fit
from agenttask_operator.unsent import outbox_status
from agenttask_operator.words import clean, hinted, recalled_words, told_success

Object = dict[str, Any]

T = ConditionType


@dataclass(frozen=True)
class Story:
    """One run of a task, and the runs before it."""

    task: Task
    run: Run | None
    runs: tuple[PastRun, ...]
    unsent: tuple[UnsentEnd, ...] = ()
    """Ends of runs before it that NATS has not taken."""

    @property
    def told(self) -> AgentTaskStatus | None:
        """The stored status, if it speaks of this run."""
        stored = self.task.status
        same = stored.run and self.run and stored.run.key == self.run.key
        return stored if same else None


def begin_story(
    task: Task, spec: AgentTaskSpec, last: AgentTaskStatus, unsent: tuple[UnsentEnd, ...] = ()
) -> Story:
    """Return the run that the spec asks for; `last` is how a run before it ended."""
    stored, key = task.status.run, spec.run_key()
    if stored and stored.key == key:
        return Story(task, stored, task.status.runs, unsent)
    number = stored.number + 1 if stored else 1
    runs = task.status.runs + ((past_run(last, last.run),) if last.run else ())
    run = Run(id=spec.run_id, key=key, number=number, spec_hash=spec.spec_hash())
    return Story(task, run, runs[-MAX_RUNS:], unsent)


def is_final(status: AgentTaskStatus) -> bool:
    """Say whether the run that the status speaks of has ended."""
    return status.phase in TERMINAL_PHASES


def waiting(
    story: Story,
    reason: Reason,
    message: str,
    now: datetime,
    stalled: bool = False,
    phase: Phase = Phase.PENDING,
) -> AgentTaskStatus:
    """Return the status of a task whose Job may not be created (yet)."""
    words = hinted(message, reason)
    table = conditions.refused if stalled else conditions.in_progress
    return _seal(story, phase, reason, words, table(reason, words), now)


def running(
    story: Story, job: Job, pods: tuple[Pod, ...], progress: Progress, now: datetime
) -> AgentTaskStatus:
    """Return the status of a task whose Job exists."""
    words = hinted(progress.message, progress.reason)
    table = {
        **conditions.milestones(
            progress.reason, words, progress.scheduled, bool(progress.started), progress.blocked
        ),
        **conditions.in_progress(progress.reason, words),
    }
    if job.unrecorded:
        table |= conditions.run_unrecorded()
    if progress.started and story.task.spec and story.task.spec.suspend:
        table |= conditions.suspend_ignored()
    return _seal(
        story,
        progress.phase,
        progress.reason,
        words,
        table,
        now,
        run=_run(story, job, progress.started),
        attempts=derive_attempts(pods, _told(story).attempts)[-MAX_ATTEMPTS:],
        agents=AgentCounts(active=int(any(not p.ended for p in pods))),
    )


def ended(
    story: Story,
    job: Job | None,
    pods: tuple[Pod, ...],
    outcome: Outcome,
    result: AgentResult | None,
    published: bool | None,
    now: datetime,
) -> AgentTaskStatus:
    """Return the status of a run that has ended; `published` is None where there is no NATS."""
    good = outcome.phase is Phase.SUCCEEDED
    reason = Reason.COMPLETED if good else outcome.reason
    digest = outcome.digest
    words = (
        clean(told_success(digest))
        if good
        else hinted(outcome.message, reason, rerun=outcome.phase is Phase.FAILED)
    )
    run = _ended_run(story, job, pods, outcome)
    return _seal(
        story,
        outcome.phase,
        reason,
        words,
        _final_table(story, outcome, reason, words, published, bool(run and run.start_time))
        | (conditions.run_unrecorded() if job and job.unrecorded else {}),
        now,
        verdict=outcome.verdict,
        run=run,
        attempts=_last_attempts(story, pods, outcome),
        agents=AgentCounts(succeeded=int(good), failed=int(not good)) if pods else None,
        artifacts=artifacts_of(digest, result) if digest else None,
        report=report_of(digest, result),
        operations=operations_of(digest) if digest else None,
        usage=usage_of(digest) if digest else None,
        duration=duration_of(run),
        outbox=outbox_status(run.key if published and run else "", story.unsent),
    )


def recalled(story: Story, outcome: AgentTaskStatus, now: datetime) -> AgentTaskStatus:
    """Return the status of a task whose work has run before, with the outcome that it had then."""
    good = outcome.phase is Phase.SUCCEEDED
    reason = Reason(outcome.reason) if outcome.reason in set(Reason) else Reason.INTERNAL_ERROR
    words = recalled_words(outcome.message)
    table = conditions.succeeded(words) if good else conditions.failed(reason, words)
    kept = ("verdict", "attempts", "agents", "artifacts", "report", "operations", "usage")
    run, number = outcome.run, story.run.number if story.run else 1
    return _seal(
        story,
        outcome.phase,
        reason,
        words,
        conditions.kept(outcome.conditions, OF_THE_RUN) | table | conditions.events_published(True),
        now,
        run=run.model_copy(update={"number": number}) if run else story.run,
        duration=outcome.duration,
        outbox=outbox_status(story.run.key if story.run else "", story.unsent),
        **{field: getattr(outcome, field) for field in kept},
    )


def refreshed(
    task: Task,
    published: bool,
    result: AgentResult | None,
    now: datetime,
    unsent: tuple[UnsentEnd, ...] = (),
) -> AgentTaskStatus:
    """Return the final status as it is, for the newest generation and the news of NATS."""
    stored = task.status
    taken = stored.outbox.published if stored.outbox else ""
    table = conditions.kept(stored.conditions, [c.type for c in stored.conditions])
    update: Object = {"observed_generation": task.generation}
    if published and T.EVENTS_PUBLISHED in table:
        table |= conditions.events_published(True)
        taken = stored.run.key if stored.run else ""
    update["outbox"] = outbox_status(taken, unsent)
    if result and stored.artifacts and not stored.artifacts.files_changed:
        update["artifacts"] = with_lists(stored.artifacts, result)
        update["report"] = report_of(None, result)
    update["conditions"] = conditions.write_conditions(
        stored.conditions, table, task.generation, now
    )
    return fit(stored.model_copy(update=update))


def patch_for(task: Task, status: AgentTaskStatus) -> Object:
    """Return the merge patch from the stored status to this one; empty when they are equal."""
    return difference(task.raw_status, status.to_api())


def difference(old: Object, new: Object) -> Object:
    """Return the merge patch from the one to the other; empty when they are equal."""
    changed: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = difference(before, value)
            changed |= {key: inner} if inner else {}
        elif key not in old or before != value:
            changed[key] = value
    return changed


def _seal(
    story: Story,
    phase: Phase,
    reason: Reason,
    message: str,
    table: conditions.Table,
    now: datetime,
    **more: object,
) -> AgentTaskStatus:
    outbox = outbox_status("", story.unsent)
    fields: Object = {"run": story.run, "outbox": outbox, **more}
    status = AgentTaskStatus(
        observed_generation=story.task.generation,
        phase=phase,
        reason=reason.value,
        message=message,
        runs=story.runs,
        conditions=conditions.write_conditions(
            story.task.status.conditions, table, story.task.generation, now
        ),
        **fields,
    )
    return fit(status)


def _told(story: Story) -> AgentTaskStatus:
    return story.told or AgentTaskStatus()


def _run(story: Story, job: Job, started: str) -> Run | None:
    accepted = format_time(job.created) if job.created else ""
    update = {"job_name": job.key.name, "start_time": started}
    if story.run and not story.run.accepted_time:
        update["accepted_time"] = accepted
    return story.run.model_copy(update=update) if story.run else None


def _ended_run(
    story: Story, job: Job | None, pods: tuple[Pod, ...], outcome: Outcome
) -> Run | None:
    if not story.run:
        return None
    started = story.run.start_time or agent_started(pods)
    run = _run(story, job, started) if job else story.run
    done = {"start_time": started, "completion_time": format_time(outcome.completed)}
    return run.model_copy(update=done) if run else None


def _last_attempts(story: Story, pods: tuple[Pod, ...], outcome: Outcome) -> tuple[Attempt, ...]:
    """Return the attempts, the deciding one with the run's reason rather than its pod's."""
    attempts = derive_attempts(pods, _told(story).attempts)[-MAX_ATTEMPTS:]
    name = outcome.pod.key.name if outcome.pod else ""
    reason = {"reason": outcome.reason.value}
    return tuple(a.model_copy(update=reason) if a.pod_name == name else a for a in attempts)


def _final_table(
    story: Story,
    outcome: Outcome,
    reason: Reason,
    words: str,
    published: bool | None,
    started: bool,
) -> conditions.Table:
    good = outcome.phase is Phase.SUCCEEDED
    if reason is Reason.INVALID_SPEC:
        table = conditions.refused(reason, words)
    elif outcome.pod:
        table = conditions.milestones(reason, words, bool(outcome.pod.node), started)
    else:
        table = conditions.kept(_told(story).conditions, (T.ACCEPTED, T.SCHEDULED, T.STARTED))
    table |= conditions.succeeded(words) if good else conditions.failed(reason, words)
    if outcome.digest and outcome.digest.stored is not None:
        table |= conditions.artifacts_stored(outcome.digest.stored)
    return table if published is None else table | conditions.events_published(published)
