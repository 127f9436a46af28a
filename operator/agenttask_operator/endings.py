"""How a run's end is told: to NATS first, then in the status, once.

Pure. The status is the outbox: what NATS has not taken stays `EventsPublished=False`
there, and is sent again until it has.
"""

from datetime import datetime

from agenttask_api import events
from agenttask_api.ledger import LedgerEntry, entry_key, recorded_outcome
from agenttask_api.reasons import Reason
from agenttask_api.status import AgentTaskStatus, ConditionType, Phase
from agenttask_operator import status
from agenttask_operator.actions import (
    Action,
    EmitEvent,
    PatchStatus,
    Publish,
    Record,
    Requeue,
)
from agenttask_operator.case import Case
from agenttask_operator.contextrecords import record_messages
from agenttask_operator.facts import Defaults, Facts
from agenttask_operator.messages import Message, terminal_messages
from agenttask_operator.observed import Task
from agenttask_operator.outcome import Outcome, decide_outcome
from agenttask_operator.unsent import due_end, next_try, status_of

PUBLISH_AGAIN_SECONDS = 10.0


def end_run(case: Case, outcome: Outcome) -> tuple[Action, ...]:
    """Tell NATS first, then write the status once, whether or not NATS took it."""
    facts = case.facts
    terminal = events.terminal_id(facts.task.uid, case.run_key)
    tried = facts.publications.get(terminal)
    published = (tried.done if tried else True) if facts.defaults.nats_url else None
    final = status.ended(
        case.story, case.job, case.pods, outcome, facts.result, published, case.now
    )
    if published is not None and not tried:
        begun = case.known or case.entry or case.pods
        record = end_record(facts.task, final, facts.defaults) if begun else None
        return (Publish(terminal, _messages(facts, final, outcome), record),)
    bad = outcome.phase is not Phase.SUCCEEDED
    event = EmitEvent("ended", case.run_key, Reason(final.reason), final.message, warning=bad)
    again = () if published is not False else (Requeue(PUBLISH_AGAIN_SECONDS),)
    return (*patch(facts, final, event=event), *again)


def tell_nats(case: Case, told: AgentTaskStatus) -> tuple[Action, ...]:
    """Publish what NATS has not taken yet, and keep the status at the newest generation."""
    facts = case.facts
    waiting = told.condition(ConditionType.EVENTS_PUBLISHED)
    late = bool(facts.defaults.nats_url and waiting and waiting.status == "False")
    terminal = events.terminal_id(facts.task.uid, case.run_key)
    tried = facts.publications.get(terminal) if late else None
    done = bool(tried and tried.done)
    new = status.refreshed(facts.task, done, facts.result, case.now, case.story.unsent)
    refresh = patch(facts, new)
    if not late or done:
        return refresh
    if tried and tried.retry_at and tried.retry_at > case.now:
        return (*refresh, Requeue((tried.retry_at - case.now).total_seconds()))
    outcome = decide_outcome(case.job, case.pods, case.run_key, case.now)
    return (*refresh, _publish(facts, told, _messages(facts, told, outcome)))


def tell_old(
    case: Case, final: AgentTaskStatus, outcome: Outcome | None
) -> tuple[Action, ...] | None:
    """Publish the end of the run before, once: the new run does not wait for NATS.

    What NATS does not take then waits in the new run's status.
    """
    facts = case.facts
    run = final.run
    published = final.outbox and run and final.outbox.published == run.key
    if not facts.defaults.nats_url or not run or published:
        return None
    terminal = events.terminal_id(facts.task.uid, run.key)
    if terminal in facts.publications:
        return None
    return (_publish(facts, final, _messages(facts, final, outcome)),)


def tell_unsent(case: Case) -> tuple[Action, ...] | None:
    """Publish the end of an earlier run that NATS did not take at the time."""
    end = due_end(case.facts, case.now)
    if not end:
        return None
    # A later run has left its own context record since.
    told = status_of(end)
    return (
        _publish(
            case.facts, told, terminal_messages(case.facts.task, told, None, case.facts.defaults)
        ),
    )


def try_unsent(facts: Facts, now: datetime) -> tuple[Action, ...]:
    """Come back for the ends that cannot be tried yet."""
    wait = next_try(facts, now)
    return () if wait is None else (Requeue(max(1.0, wait)),)


def recall(case: Case, outcome: AgentTaskStatus) -> tuple[Action, ...]:
    """Show the recorded outcome of a run that another object of this name has had.

    NATS has its end already, told under that object's id.
    """
    final = status.recalled(case.story, outcome, case.now)
    reason = Reason(final.reason)
    bad = final.phase is not Phase.SUCCEEDED
    event = EmitEvent("ended", case.run_key, reason, final.message, warning=bad)
    return patch(case.facts, final, event=event)


def end_record(task: Task, final: AgentTaskStatus, defaults: Defaults) -> Record:
    """Return what the ledger is to hold of a run that has ended."""
    assert final.run is not None
    entry = LedgerEntry(
        uid=task.uid,
        run_key=final.run.key,
        job_name=final.run.job_name,
        job_created=True,
        started=final.run.accepted_time,
        outcome=recorded_outcome(final),
    )
    return Record(entry_key(defaults.cluster_id, *task.key, final.run.key), entry)


def _publish(facts: Facts, final: AgentTaskStatus, messages: tuple[Message, ...]) -> Publish:
    run = final.run
    assert run is not None
    record = end_record(facts.task, final, facts.defaults) if run.job_name else None
    return Publish(events.terminal_id(facts.task.uid, run.key), messages, record)


def _messages(facts: Facts, final: AgentTaskStatus, outcome: Outcome | None) -> tuple[Message, ...]:
    """Return all that NATS is told of an end: who hears of it finds its record in place."""
    record = record_messages(facts.task, final, facts.result, facts.defaults)
    return (*record, *terminal_messages(facts.task, final, outcome, facts.defaults))


def patch(
    facts: Facts, new: AgentTaskStatus, delay: float = 0.0, event: EmitEvent | None = None
) -> tuple[Action, ...]:
    patch = status.patch_for(facts.task, new)
    return (PatchStatus(new, patch, delay, event),) if patch else ()
