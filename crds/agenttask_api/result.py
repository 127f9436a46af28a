"""The full result of one attempt, as it goes to NATS and to `agenttask run`.

`AgentReport` is what the untrusted agent says of itself. `AgentResult` is what
the courier publishes: the agent's report beside facts that the courier measured. In
NATS its keys are snake_case, as the reference system's consumers expect them.
"""

from agenttask_api.report import WorkspaceReport
from agenttask_api.schema import OpenAPIModel
from agenttask_api.status import ArtifactRef, OperationCounts, TestCounts, Usage
from agenttask_api.verification import Verification

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


class Capabilities(OpenAPIModel):
    """What the start-up probe found out about a model at its endpoint."""

    model: str
    context_window: int | None = None
    """Tokens of prompt and reply together; None when the server does not say."""
    structured_output: bool = False
    """A `response_format` with a JSON schema is obeyed."""
    required_calls: bool = False
    """`tool_choice: required` gives a strict tool call."""
    thinking: bool = False
    """The model writes a reasoning even when asked not to."""


class ModelUse(OpenAPIModel):
    """How the model was driven, and what that was decided from."""

    profile: str
    """Small or Large."""
    way: str = ""
    """Plan, Loop or Questions: who did the work, from the profile and the task's mode."""
    capabilities: Capabilities


class PlanStep(OpenAPIModel):
    """One operation of a plan."""

    tool: str
    operation: str
    params: dict[str, object] = {}


class Plan(OpenAPIModel):
    """What a run in Plan mode set out to do; executed unless the run was read-only."""

    reasoning: str = ""
    steps: tuple[PlanStep, ...] = ()


class Requirement(OpenAPIModel):
    """One of the task's requirements and what the model says of it."""

    text: str
    claim: str = "unknown"
    """met, unmet or unknown: the model's claim, which no check has confirmed."""


class AgentTests(OpenAPIModel):
    """The agent's own test runs, counted by its tools; not what decides.

    Both may have covered different tests: the agent chooses what it runs.
    """

    before: TestCounts | None = None
    """The last run before its first edit; None when there was none."""
    after: TestCounts | None = None
    """The last run after its last edit; None when there was none."""


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
    model: ModelUse | None = None
    """None when the run ended before its model was asked."""
    plan: Plan | None = None
    """Of a run in Plan mode that got one."""
    requirements: tuple[Requirement, ...] = ()
    tests: AgentTests = AgentTests()


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
    model: ModelUse | None = None
    summary: str = ""
    """The agent's own words: a claim, or the plan of a run in Plan mode."""
    plan: Plan | None = None
    requirements: tuple[Requirement, ...] = ()
    """Claims, for a person to check: the verdict does not depend on them."""
    agent_tests: AgentTests = AgentTests()
    """What the agent saw; `artifacts.tests` is what verification counted."""
    report: WorkspaceReport | None = None
    """None where there was no change to check."""
    events_dropped: int = 0
    """Progress events that came too fast or found the buffer full, and were not published."""
    truncated: bool = False
