"""The conditions of a task, by the truth table of the design.

Pure. `Reconciling` and `Stalled` are kstatus's abnormal-true conditions: present only
while true. A condition's transition time moves only when its status does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from agenttask_api.reasons import Reason
from agenttask_api.status import MAX_MESSAGE_CHARACTERS, Condition, ConditionType
from agenttask_operator.clock import format_time
from agenttask_operator.words import clean, shorten

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"

SUSPEND_IGNORED = ConditionType.SUSPEND_IGNORED.value
"""Type of the condition that answers a suspend which comes too late."""

T = ConditionType


@dataclass(frozen=True)
class Wanted:
    """What a condition should say."""

    status: str
    reason: Reason
    message: str = ""


Table = dict[str, Wanted]


def in_progress(reason: Reason, message: str) -> Table:
    """Before the end: never a gap in which a client could take the task for done."""
    return {
        T.SUCCEEDED: Wanted(UNKNOWN, reason),
        T.READY: Wanted(UNKNOWN, reason, message),
        T.RECONCILING: Wanted(TRUE, reason, message),
    }


def refused(reason: Reason, message: str) -> Table:
    """Nothing will happen until somebody changes the task."""
    return {
        T.ACCEPTED: Wanted(FALSE, reason, message),
        T.SUCCEEDED: Wanted(UNKNOWN, reason),
        T.READY: Wanted(FALSE, reason, message),
        T.STALLED: Wanted(TRUE, reason, message),
    }


def succeeded(message: str) -> Table:
    """The run ended well."""
    return {
        T.SUCCEEDED: Wanted(TRUE, Reason.COMPLETED, message),
        T.READY: Wanted(TRUE, Reason.COMPLETED, message),
    }


def failed(reason: Reason, message: str) -> Table:
    """The run ended otherwise, and nothing will change that."""
    return {
        T.SUCCEEDED: Wanted(FALSE, reason, message),
        T.READY: Wanted(FALSE, reason, message),
        T.STALLED: Wanted(TRUE, reason, message),
    }


def milestones(
    reason: Reason, message: str, scheduled: bool, started: bool, refused_node: bool = False
) -> Table:
    """How far an accepted task has come."""
    waiting = FALSE if refused_node else UNKNOWN
    return {
        T.ACCEPTED: Wanted(TRUE, Reason.JOB_CREATED, "the class takes the task"),
        T.SCHEDULED: Wanted(TRUE, Reason.JOB_CREATED, "the pod has a node")
        if scheduled
        else Wanted(waiting, reason, message if refused_node else ""),
        T.STARTED: Wanted(TRUE, Reason.RUNNING, "the agent has started")
        if started
        else Wanted(FALSE, reason),
    }


def events_published(published: bool) -> Table:
    """Whether NATS has taken the end of the run."""
    if published:
        return {T.EVENTS_PUBLISHED: Wanted(TRUE, Reason.COMPLETED, "NATS has the run's outcome")}
    words = "NATS did not take the run's outcome; it is tried again"
    return {T.EVENTS_PUBLISHED: Wanted(FALSE, Reason.NATS_UNAVAILABLE, words)}


def artifacts_stored(stored: bool) -> Table:
    """Whether NATS has the result and the artifacts."""
    if stored:
        return {T.ARTIFACTS_STORED: Wanted(TRUE, Reason.COMPLETED, "NATS has the artifacts")}
    words = "NATS did not take the artifacts in time"
    return {T.ARTIFACTS_STORED: Wanted(FALSE, Reason.STORE_UNAVAILABLE, words)}


def run_unrecorded() -> Table:
    """The ledger could not be asked, and the class lets such a run begin."""
    words = (
        "the run-once ledger could not be asked when the run began:"
        " whether the same work had run before is not known"
    )
    return {T.RUN_RECORDED: Wanted(FALSE, Reason.LEDGER_UNAVAILABLE, words)}


def suspend_ignored() -> Table:
    """The answer to a suspend that comes after the start."""
    words = "a started task cannot be suspended; use spec.cancel"
    return {SUSPEND_IGNORED: Wanted(TRUE, Reason.SUSPEND_IGNORED, words)}


def write_conditions(
    previous: Iterable[Condition], wanted: Mapping[str, Wanted], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions, with the times of those whose status stays."""
    before = {c.type: c for c in previous}
    return tuple(
        Condition(
            type=str(type_),
            status=want.status,
            reason=want.reason.value,
            message=shorten(clean(want.message), MAX_MESSAGE_CHARACTERS),
            observed_generation=generation,
            last_transition_time=_transition(before.get(type_), want, now),
        )
        for type_, want in wanted.items()
    )


def kept(previous: Iterable[Condition], types: Iterable[str]) -> Table:
    """Return what these conditions say already."""
    wanted = set(types)
    return {
        c.type: Wanted(c.status, Reason(c.reason), c.message)
        for c in previous
        if c.type in wanted and c.reason in set(Reason)
    }


def _transition(before: Condition | None, want: Wanted, now: datetime) -> str:
    same = before is not None and before.status == want.status
    return before.last_transition_time if before and same else format_time(now)
