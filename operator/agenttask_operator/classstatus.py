"""The status of a class, derived from what is known of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agenttask_api.agentclass import AgentClassStatus
from agenttask_api.status import Condition
from agenttask_operator.clock import format_time
from agenttask_operator.conditions import FALSE, TRUE, UNKNOWN
from agenttask_operator.models import Health
from agenttask_operator.networkpolicy import unopened
from agenttask_operator.observed import AgentClass
from agenttask_operator.words import clean, shorten


@dataclass(frozen=True)
class NatsState:
    """What is known of the operator's NATS."""

    connected: bool
    findings: Mapping[str, tuple[str, ...]]
    """What of a stream is not as documented."""


Said = tuple[str, str, str]
"""Status, reason and message of a condition."""


@dataclass(frozen=True)
class Wall:
    """What the installer said of the network."""

    made: bool
    """Whether the operator makes network policies."""
    enforced: str
    """True, False or Unknown: whether the cluster enforces them."""
    nats_url: str = ""
    """The operator's own."""
    otlp_endpoint: str = ""
    """Where spans go; empty = nowhere."""


NO_WALL = Wall(False, UNKNOWN)


def class_status(
    class_: AgentClass,
    health: Health,
    running: int,
    queued: int,
    now: datetime,
    wall: Wall = NO_WALL,
    nats: NatsState | None = None,
) -> AgentClassStatus:
    """Return the whole status; without a NATS nothing is said of it."""
    table = {
        "Ready": _ready(class_, health),
        "ModelReachable": _reachable(health),
        "ModelKeyRequired": _key_required(health),
        "EgressEnforced": _egress_enforced(class_, wall),
    }
    if nats:
        table["NATSReady"] = _nats(nats)
    before = AgentClassStatus.model_validate(class_.raw_status)
    return AgentClassStatus(
        observed_generation=class_.generation,
        conditions=tuple(
            _condition(type_, said, class_.generation, before, now) for type_, said in table.items()
        ),
        running=running,
        queued=queued,
    )


def _ready(class_: AgentClass, health: Health) -> Said:
    if not class_.spec:
        return FALSE, "InvalidSpec", class_.error
    if health.answers is False:
        return FALSE, "ModelUnavailable", f"the model endpoint does not answer: {health.words}"
    return TRUE, "Accepted", "tasks may use the class"


def _reachable(health: Health) -> Said:
    if health.answers is None:
        return UNKNOWN, "NotKnown", health.words
    if health.answers:
        return TRUE, "Answers", "the model endpoint answers the operator"
    return FALSE, "NoAnswer", health.words


def _key_required(health: Health) -> Said:
    if health.key_required is None:
        return UNKNOWN, "NotKnown", "whether a key is needed cannot be told"
    if health.key_required:
        return TRUE, "Refused", "a request without a key is refused, so budgets bind the agent"
    words = "requests need no key: budgets bind only what goes through the courier"
    return FALSE, "Open", words


def _egress_enforced(class_: AgentClass, wall: Wall) -> Said:
    """No process can see from its own pod whether another pod's policy holds."""
    if not wall.made:
        return FALSE, "NotMade", "the operator makes no network policies: see networkPolicy.enabled"
    ours = (wall.nats_url, wall.otlp_endpoint)
    closed = unopened(class_.spec, *ours) if class_.spec else []
    outside = f"; spec.egress has to open {', '.join(closed)}" if closed else ""
    if wall.enforced == UNKNOWN:
        words = "policies are made, but nobody has said whether this cluster enforces them"
        return UNKNOWN, "NotProven", f"{words}: see networkPolicy.enforced{outside}"
    verb = "enforces" if wall.enforced == TRUE else "does not enforce"
    words = f"the installer says that this cluster {verb} network policies"
    return wall.enforced, "Declared", f"{words}{outside}"


def _nats(state: NatsState) -> Said:
    if not state.connected:
        return FALSE, "NATSUnavailable", "the operator has no connection to NATS; events wait"
    if state.findings:
        told = [f"{name}: {', '.join(wrong)}" for name, wrong in sorted(state.findings.items())]
        return FALSE, "StreamsDiffer", f"streams are used as they are; {'; '.join(told)}"
    return TRUE, "StreamsAsDocumented", "NATS takes the operator's events"


def _condition(
    type_: str, said: Said, generation: int, before: AgentClassStatus, now: datetime
) -> Condition:
    status, reason, message = said
    old = next((c for c in before.conditions if c.type == type_), None)
    same = old is not None and old.status == status
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=shorten(clean(message), 512),
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old and same else format_time(now),
    )
