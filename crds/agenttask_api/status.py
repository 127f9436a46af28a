"""`AgentTask.status`: what the operator answers, written by nobody else.

Times are RFC 3339 in UTC with whole seconds, as Kubernetes writes them.
"""

import json
from enum import StrEnum

from agenttask_api.counts import TestCounts as TestCounts
from agenttask_api.schema import OpenAPIModel

MAX_STATUS_BYTES = 16 * 1024
MAX_FILES_CHANGED = 50
MAX_RUNS = 10
MAX_ATTEMPTS = 10
MAX_MESSAGE_CHARACTERS = 1024
UNSEEN_GENERATION = -1
"""Schema default of observedGeneration, so that no client takes an unseen task for done."""


class Phase(StrEnum):
    """One word for people and field selectors; derived, never read back."""

    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


TERMINAL_PHASES = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})


class Verdict(StrEnum):
    """What the checks say of the change, apart from whether the run went well."""

    NONE = ""
    VERIFIED = "Verified"
    UNVERIFIED = "Unverified"
    REJECTED = "Rejected"
    NO_CHANGE = "NoChange"


class ConditionType(StrEnum):
    """The conditions of a task; Reconciling and Stalled are kstatus's abnormal-true ones."""

    ACCEPTED = "Accepted"
    SCHEDULED = "Scheduled"
    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    ARTIFACTS_STORED = "ArtifactsStored"
    EVENTS_PUBLISHED = "EventsPublished"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUSPEND_IGNORED = "SuspendIgnored"
    RUN_RECORDED = "RunRecorded"


class Condition(OpenAPIModel):
    """As meta/v1 Condition; status is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str


class Run(OpenAPIModel):
    """The run that the rest of the status speaks of."""

    id: str
    key: str
    number: int = 1
    job_name: str = ""
    accepted_time: str = ""
    start_time: str = ""
    completion_time: str = ""
    spec_hash: str = ""


class Attempt(OpenAPIModel):
    """One pod of the run."""

    number: int
    index: int = 0
    pod_name: str
    reason: str = ""
    start_time: str = ""
    completion_time: str = ""
    tokens: int = 0


class AgentCounts(OpenAPIModel):
    """How many agents are where."""

    total: int = 1
    active: int = 0
    succeeded: int = 0
    failed: int = 0


class ArtifactRef(OpenAPIModel):
    """A stored file: `nats://<bucket>/<key>`, its size in bytes, its sha256."""

    name: str
    ref: str
    size: int
    sha256: str


class ArtifactsStatus(OpenAPIModel):
    """What the run left behind."""

    base_commit: str = ""
    commit_sha: str | None = None
    branch: str = ""
    files_changed: tuple[str, ...] = ()
    files_changed_count: int = 0
    insertions: int = 0
    deletions: int = 0
    tests: TestCounts | None = None
    refs: tuple[ArtifactRef, ...] = ()


class Report(OpenAPIModel):
    """The verification, cut to what a status can hold."""

    gate: str = ""
    rigor: str = ""
    score: int | None = None
    reasons: tuple[str, ...] = ()


class OperationCounts(OpenAPIModel):
    """Tool operations of the agent; denied ones are not failed ones."""

    total: int = 0
    failed: int = 0
    denied: int = 0


class Usage(OpenAPIModel):
    """Tokens and calls as counted by the gate, not as claimed by the agent."""

    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


class PastRun(OpenAPIModel):
    """One finished run of the task."""

    id: str
    key: str
    phase: str
    reason: str = ""
    commit_sha: str = ""
    completion_time: str = ""


class UnsentEnd(OpenAPIModel):
    """The end of an earlier run that NATS has not taken yet."""

    id: str
    key: str
    number: int = 1
    job_name: str = ""
    phase: str
    verdict: str = ""
    reason: str = ""
    message: str = ""
    commit_sha: str = ""
    start_time: str = ""
    completion_time: str = ""


class OutboxStatus(OpenAPIModel):
    """What NATS has taken, and what it has not."""

    published: str = ""
    pending: tuple[UnsentEnd, ...] = ()


class AgentTaskStatus(OpenAPIModel):
    """The whole story of a task."""

    observed_generation: int = UNSEEN_GENERATION
    phase: Phase = Phase.PENDING
    verdict: Verdict = Verdict.NONE
    reason: str = ""
    message: str = ""
    run: Run | None = None
    attempts: tuple[Attempt, ...] = ()
    agents: AgentCounts | None = None
    artifacts: ArtifactsStatus | None = None
    report: Report | None = None
    operations: OperationCounts | None = None
    usage: Usage | None = None
    duration: str = ""
    runs: tuple[PastRun, ...] = ()
    outbox: OutboxStatus | None = None
    conditions: tuple[Condition, ...] = ()
    truncated: bool = False

    def condition(self, type_: ConditionType) -> Condition | None:
        """Return the condition of that type, if it is set."""
        return next((c for c in self.conditions if c.type == type_), None)

    def size(self) -> int:
        """Return the bytes this status takes as JSON."""
        return len(json.dumps(self.to_api()).encode())
