"""How a task is held that may not start yet, and when it is looked at again. Pure."""

from datetime import timedelta

from agenttask_api.agentclass import LedgerPolicy
from agenttask_api.reasons import Reason
from agenttask_api.status import Phase
from agenttask_operator import status
from agenttask_operator.actions import Action, EmitEvent, Requeue
from agenttask_operator.blockers import blocked_creation
from agenttask_operator.case import Case, class_or_none
from agenttask_operator.endings import patch
from agenttask_operator.turns import Turn, spell_turn

BLOCKED_SECONDS = 3.0
"""A blocker is told once it has lasted: most pods meet one for a moment."""
QUEUE_FIRST_SECONDS = 15.0
QUEUE_LAST_SECONDS = 300.0
"""How often a waiting task is told its place, the more seldom the farther behind it is."""
LEDGER_SECONDS = 10.0
"""How often an unreachable ledger is asked again; news that NATS is back comes sooner."""
REFUSED_SECONDS = 30.0
"""How long a refused Job is not tried again."""


def hold_in_queue(case: Case, turn: Turn) -> tuple[Action, ...]:
    """Held until others are done; nobody wakes us for a new place, so we look for it."""
    assert turn.obstacle
    new = status.waiting(
        case.story, turn.obstacle.reason, spell_turn(turn), case.now, phase=Phase.QUEUED
    )
    event = EmitEvent("blocked", case.run_key, turn.obstacle.reason, new.message)
    told = case.facts.task.status.phase is Phase.QUEUED
    pause = min(QUEUE_LAST_SECONDS, QUEUE_FIRST_SECONDS + turn.position / 10)
    write = patch(case.facts, new, BLOCKED_SECONDS, None if told else event)
    return (*write, Requeue(pause))


def hold(
    case: Case, reason: Reason, message: str, delay: float = 0.0, stalled: bool = False
) -> tuple[Action, ...]:
    """Say why nothing happens; `stalled` = nothing will until somebody changes the task."""
    new = status.waiting(case.story, reason, message, case.now, stalled)
    event = EmitEvent("blocked", case.run_key, reason, new.message, warning=True)
    return patch(case.facts, new, delay, event)


def ledger_holds(case: Case) -> bool:
    """Say whether the class lets nothing begin while the run-once ledger cannot be asked."""
    recorded, class_ = case.facts.recorded, class_or_none(case)
    if not recorded or recorded.reachable or not class_ or not class_.spec:
        return False
    return class_.spec.ledger.on_unavailable is LedgerPolicy.HOLD


def hold_for_ledger(case: Case) -> tuple[Action, ...]:
    """Say that the ledger is waited for, and ask it again soon."""
    words = "whether this work has run before is not known, and the class waits for the answer"
    held = hold(case, Reason.LEDGER_UNAVAILABLE, words, delay=BLOCKED_SECONDS)
    return (*held, Requeue(LEDGER_SECONDS))


def hold_refused(case: Case) -> tuple[Action, ...]:
    """Say why the API server did not take the Job, and try again later."""
    refusal = case.facts.refusal
    assert refusal is not None
    left = (refusal.at + timedelta(seconds=REFUSED_SECONDS) - case.now).total_seconds()
    if refusal.conflict:
        words = f"a Job named {case.job_name} exists and belongs to something else"
        return (*hold(case, Reason.NAME_CONFLICT, words), Requeue(left))
    blocker = blocked_creation(refusal.message)
    reason = blocker.reason if blocker else Reason.POD_CREATION_DENIED
    return (*hold(case, reason, refusal.message), Requeue(left))
