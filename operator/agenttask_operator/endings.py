"""How a run's end is told: to NATS first, then in the status, once.

Pure. The status is the outbox: what NATS has not taken stays `EventsPublished=False`
there, and is sent again until it has.
"""

from agenttask_api import events
from agenttask_api.reasons import Reason
from agenttask_api.status import AgentTaskStatus, ConditionType, Phase
from agenttask_operator import status
from agenttask_operator.actions import Action, EmitEvent, PatchStatus, Publish, Requeue
from agenttask_operator.case import Case
from agenttask_operator.contextrecords import record_messages
from agenttask_operator.facts import Facts
from agenttask_operator.messages import Message, terminal_messages
from agenttask_operator.outcome import Outcome, settled_outcome

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
        return (Publish(terminal, _messages(facts, final, outcome)),)
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
    refresh = patch(facts, status.refreshed(facts.task, done, facts.result, case.now))
    if not late or done:
        return refresh
    if tried and tried.retry_at and tried.retry_at > case.now:
        return (*refresh, Requeue((tried.retry_at - case.now).total_seconds()))
    outcome = settled_outcome(case.pods, case.run_key, case.now)
    return (*refresh, Publish(terminal, _messages(facts, told, outcome)))


def tell_old(
    case: Case, final: AgentTaskStatus, outcome: Outcome | None
) -> tuple[Action, ...] | None:
    """Publish the end of the run before, once: the new run does not wait for NATS."""
    facts = case.facts
    run = final.run
    published = final.outbox and run and final.outbox.published == run.key
    if not facts.defaults.nats_url or not run or published:
        return None
    terminal = events.terminal_id(facts.task.uid, run.key)
    if terminal in facts.publications:
        return None
    return (Publish(terminal, _messages(facts, final, outcome)),)


def _messages(facts: Facts, final: AgentTaskStatus, outcome: Outcome | None) -> tuple[Message, ...]:
    """Return all that NATS is told of an end: who hears of it finds its record in place."""
    record = record_messages(facts.task, final, facts.result, facts.defaults)
    return (*record, *terminal_messages(facts.task, final, outcome, facts.defaults))


def patch(
    facts: Facts, new: AgentTaskStatus, delay: float = 0.0, event: EmitEvent | None = None
) -> tuple[Action, ...]:
    patch = status.patch_for(facts.task, new)
    return (PatchStatus(new, patch, delay, event),) if patch else ()
