"""What the planner may ask for. Each is safe to repeat: names and ids are deterministic."""

from dataclasses import dataclass
from typing import Any

from agenttask_api.ledger import LedgerEntry
from agenttask_api.reasons import Reason
from agenttask_api.status import AgentTaskStatus
from agenttask_operator.messages import Message
from agenttask_operator.observed import Job, Pod

Object = dict[str, Any]


@dataclass(frozen=True)
class EmitEvent:
    """Tell people by a Kubernetes Event, at most once per run and slot."""

    slot: str
    """`created`, `started`, `blocked` or `ended`: at most four in a run."""
    run_key: str
    reason: Reason
    message: str
    warning: bool = False


@dataclass(frozen=True)
class ApplyPolicy:
    """Have a NetworkPolicy be as it should; nothing after it is done without it."""

    manifest: Object


@dataclass(frozen=True)
class Record:
    """What the run-once ledger is to hold of a run."""

    key: str
    entry: LedgerEntry


@dataclass(frozen=True)
class CreateJob:
    """Start the run."""

    manifest: Object
    record: Record | None = None
    """Written before the Job is; without it no Job. None = it is there, or cannot be."""


@dataclass(frozen=True)
class DeleteJob:
    """Stop the run; its pods follow when the garbage collector comes to them."""

    job: Job


@dataclass(frozen=True)
class DeletePod:
    """End a pod now, with its grace period; only ever after its Job, which would replace it."""

    pod: Pod


@dataclass(frozen=True)
class PatchStatus:
    """Write the status, once it has been due for `delay` seconds."""

    status: AgentTaskStatus
    patch: Object
    delay: float = 0.0
    event: EmitEvent | None = None
    """Emitted after the write, and only then."""


@dataclass(frozen=True)
class Publish:
    """Give NATS the end of a run; whether it took it is a fact of the next plan."""

    terminal_id: str
    messages: tuple[Message, ...]
    record: Record | None = None
    """Written after the messages; None for a run that was never begun."""


@dataclass(frozen=True)
class Requeue:
    """Look again after so many seconds, since nothing else would make us."""

    seconds: float


Action = (
    ApplyPolicy | CreateJob | DeleteJob | DeletePod | PatchStatus | Publish | EmitEvent | Requeue
)
