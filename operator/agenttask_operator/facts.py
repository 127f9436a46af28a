"""Everything the planner is told: gathered before, so that deciding needs no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

from agenttask_api.contextrecord import ContextRecord
from agenttask_api.ledger import LedgerEntry
from agenttask_api.result import AgentResult
from agenttask_operator.blockers import Note
from agenttask_operator.observed import AgentClass, Job, Pod, Task
from agenttask_operator.turns import Turn


@dataclass(frozen=True)
class Defaults:
    """What the installer decided, as far as a Job and its story need it."""

    agent_image: str
    nats_url: str = ""
    cluster_id: str = "default"
    egress: tuple[dict[str, Any], ...] | None = None
    """NetworkPolicyEgressRules of every task; None = no policies are made."""
    otlp_endpoint: str = ""
    """Where traces of runs go; empty = nowhere."""


@dataclass(frozen=True)
class Publication:
    """What this process knows of the events of one run's end."""

    done: bool
    retry_at: datetime | None = None
    """When to try again, after a failure."""


@dataclass(frozen=True)
class Recorded:
    """What the run-once ledger said of the run that the spec asks for."""

    key: str = ""
    """In the ledger."""
    entry: LedgerEntry | None = None
    """None = it has none, or could not be asked."""
    revision: int = 0
    """Of the entry, in NATS."""
    reachable: bool = True


@dataclass(frozen=True)
class Refusal:
    """The API server did not create the Job."""

    message: str
    at: datetime
    conflict: bool = False
    """The name is taken by a Job that is not ours."""


class Standing(Enum):
    """How a task that another one refers to stands."""

    RECORDED = auto()
    UNFINISHED = auto()
    UNKNOWN = auto()
    UNREADABLE = auto()
    """It has no resource, and NATS cannot say whether it left a record."""


@dataclass(frozen=True)
class Reference:
    """A task that another one refers to."""

    standing: Standing
    record: ContextRecord | None = None


@dataclass(frozen=True)
class ConfigMap:
    """A ConfigMap that a task refers to, as it is when the run is accepted."""

    found: bool
    data: Mapping[str, str] = field(default_factory=dict)
    """Text by key; binary keys are not in here."""
    forbidden: str = ""
    """Why the operator may not read it, in the API server's words."""


@dataclass(frozen=True)
class Facts:
    """One task and everything around it, as of now."""

    task: Task
    defaults: Defaults
    classes: Mapping[str, AgentClass] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] | None = None
    """None = not known; asked for only when a class restricts its namespaces."""
    jobs: tuple[Job, ...] = ()
    """Of this task's uid, oldest first."""
    pods: tuple[Pod, ...] = ()
    """Of this task's uid, oldest first; deleted ones too, as they were seen last."""
    notes: tuple[Note, ...] = ()
    """Events about the Job without a pod, or about the pod that hangs."""
    created: str = ""
    """Name of the Job that this process created for the task last."""
    refusal: Refusal | None = None
    recorded: Recorded | None = None
    """None = the ledger was not asked, since it does not decide or there is none."""
    turn: Turn | None = None
    """Whether the task may start; None = as far as others are concerned."""
    references: Mapping[str, Reference] = field(default_factory=dict)
    """The tasks of `spec.contextFrom` by name; asked for only when the task could start."""
    config_maps: Mapping[str, ConfigMap] = field(default_factory=dict)
    """What `spec.promptFrom` and `spec.contextFrom` name; asked for like `references`."""
    result: AgentResult | None = None
    """The full result that the digest names, if NATS had it."""
    publications: Mapping[str, Publication] = field(default_factory=dict)
    """What was tried, by the id of the terminal event."""
