"""The full result of one attempt, as it goes to NATS and to `agenttask run`.

`AgentReport` is what the untrusted agent says of itself. `AgentResult` is what
the courier publishes: the agent's report beside facts that the courier measured. In
NATS its keys are snake_case, as the reference system's consumers expect them.
"""

from agenttask_api.schema import OpenAPIModel
from agenttask_api.status import ArtifactRef, OperationCounts, TestCounts, Usage

MAX_REPORT_BYTES = 4 * 1024 * 1024
MAX_RESULT_BYTES = 900 * 1024
"""Below NATS's default max_payload of 1 MiB."""


class Operation(OpenAPIModel):
    """One attempted tool operation, also a refused or failed one."""

    seq: int
    operation: str
    success: bool
    denied: bool = False
    duration_ms: float = 0
    error: str = ""
    params: dict[str, object] = {}
    metadata: dict[str, object] = {}
    """What it measured; of tests also where in which artifact the whole output is."""


class Thought(OpenAPIModel):
    """One entry of the reasoning log."""

    iteration: int
    type: str
    """analysis, decision, action, observation, conclusion or error."""
    content: str
    related_operations: tuple[int, ...] = ()
    confidence: float | None = None


class AgentReport(OpenAPIModel):
    """What the agent says of its run: believed for display, never for success."""

    stop_reason: str
    """A Reason: Completed when the model said it was done, else why the loop ended."""
    message: str = ""
    summary: str = ""
    commit_sha: str | None = None
    operations: tuple[Operation, ...] = ()
    reasoning_log: tuple[Thought, ...] = ()
    audit_trail: tuple[dict[str, object], ...] = ()
    usage: Usage = Usage()


class StepResult(OpenAPIModel):
    """One setup or verify command on the clean checkout."""

    name: str
    exit_code: int | None = None
    """None when it was killed at its timeout or could not be started."""
    timed_out: bool = False
    duration_seconds: float = 0
    output: str = ""
    """Head and tail of stdout and stderr together."""


class Verification(OpenAPIModel):
    """What the checks found on exactly the commit that would be pushed."""

    passed: bool
    steps: tuple[StepResult, ...] = ()
    tests: TestCounts | None = None
    protected_touched: tuple[str, ...] = ()
    """Protected paths that the candidate had changed; the base's were used."""
    message: str = ""


class Change(OpenAPIModel):
    """The difference between the base and the candidate."""

    base_commit: str
    commit_sha: str | None = None
    branch: str = ""
    pushed: bool = False
    files_changed: tuple[str, ...] = ()
    insertions: int = 0
    deletions: int = 0


class ResultArtifacts(OpenAPIModel):
    """The change and where its files are."""

    change: Change
    tests: TestCounts | None = None
    refs: tuple[ArtifactRef, ...] = ()


class AgentResult(OpenAPIModel):
    """One attempt, whole."""

    event_id: str
    ts: str
    trace_id: str
    task_id: str
    run_key: str
    index: int = 0
    pod_uid: str
    success: bool
    verdict: str
    stop_reason: str
    message: str = ""
    error: str | None = None
    operations: tuple[Operation, ...] = ()
    operation_counts: OperationCounts = OperationCounts()
    artifacts: ResultArtifacts
    verification: Verification | None = None
    audit_trail: tuple[dict[str, object], ...] = ()
    reasoning_log: tuple[Thought, ...] = ()
    usage: Usage = Usage()
    truncated: bool = False
