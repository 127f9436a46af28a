"""`AgentTask.spec`: what a user asks for.

Field names, defaults and bounds equal `crds/agenttask.yaml`; a test holds them
together. Durations are whole seconds, sizes bytes or Kubernetes quantities.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field

from agenttask_api.refs import CARef, ContextFrom, LocalRef, PromptFrom
from agenttask_api.schema import APIModel
from agenttask_api.vocabulary import ConnectionKind as ConnectionKind
from agenttask_api.vocabulary import Role as Role

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", max_length=63)]
Glob = Annotated[str, Field(min_length=1, max_length=512)]
Argument = Annotated[str, Field(max_length=4096)]


def _quantity_text(value: object) -> object:
    """Take `cpu: 2` for `cpu: "2"`, as Kubernetes does."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", max_length=32),
    BeforeValidator(_quantity_text),
]

MAX_PROMPT = 32768
"""Characters, wherever the prompt is kept."""

DEFAULT_PROTECT = (
    "tests/**",
    "test/**",
    "**/test_*.py",
    "**/*_test.go",
    "**/conftest.py",
    ".github/**",
    ".gitlab-ci.yml",
)
"""Tests and CI files: what judges a change must not be changed by it."""


class Mode(StrEnum):
    """One plan executed in order, or reason-act-observe."""

    ITERATIVE = "Iterative"
    PLAN = "Plan"


class OnError(StrEnum):
    """What a failed step of a plan does to the rest."""

    ABORT = "Abort"
    SKIP = "Skip"
    RETRY = "Retry"


class OutputMode(StrEnum):
    """Where the change goes: a pushed branch, a patch in NATS, or nowhere."""

    BRANCH = "Branch"
    PATCH = "Patch"
    NONE = "None"


class AgentsSuccess(StrEnum):
    """How many of the agents must succeed."""

    ALL = "All"
    ANY = "Any"
    AT_LEAST = "AtLeast"


class Repo(APIModel):
    """The repository the agent works on."""

    url: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^(https|ssh)://[^\s]+$")]
    revision: Annotated[
        str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./@+#-]*$")
    ] = "main"
    """Branch, tag or full commit id."""
    depth: Annotated[int, Field(ge=0, le=10000)] = 1
    """Commits of history to fetch; 0 = all of it."""
    submodules: bool = False
    path: Annotated[str, Field(max_length=1024)] = ""
    """The folder inside the repository the agent starts in."""
    credentials_ref: LocalRef | None = None
    ca_ref: CARef | None = None


class Command(APIModel):
    """One named command, an argument list without a shell."""

    name: Label
    run: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=64)]
    timeout_seconds: Annotated[int, Field(ge=1, le=7200)] = 600


class EnvVar(APIModel):
    """A plain environment variable for setup, tests and verification."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    value: Annotated[str, Field(max_length=1024)] = ""


class Model(APIModel):
    """Overrides of the class's model, where the class allows them."""

    name: Annotated[str, Field(max_length=253)] = ""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1000000)] | None = None
    """Tokens the model may write in one reply."""


class Constraints(APIModel):
    """Bounds of the run itself."""

    mode: Mode = Mode.ITERATIVE
    max_iterations: Annotated[int, Field(ge=1, le=500)] = 10
    """Model replies that the loop may act on."""
    max_operations: Annotated[int, Field(ge=1, le=5000)] = 100
    on_error: OnError = OnError.ABORT
    max_model_tokens: Annotated[int, Field(ge=1000, le=100000000)] = 200000
    """Prompt and completion tokens of all calls together."""
    read_only: bool = False
    rubric: Annotated[str, Field(max_length=4096)] = ""
    requirements: Annotated[
        tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=32)
    ] = ()


class Connection(APIModel):
    """A database the agent may ask through the courier; it never sees the address."""

    name: Label
    kind: ConnectionKind
    secret_ref: LocalRef
    read_only: bool = True


class Tools(APIModel):
    """What the role's tool set is narrowed to."""

    allow: Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=64)] = ()
    connections: Annotated[tuple[Connection, ...], Field(max_length=16)] = ()
    http_hosts: Annotated[
        tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=32)
    ] = ()
    """`host`, `*.domain`, `host:port`, within the class's list; empty = no host at all."""


class Agents(APIModel):
    """How many agents work on the task, each in a workspace of its own."""

    count: Annotated[int, Field(ge=1, le=16)] = 1
    success: AgentsSuccess = AgentsSuccess.ALL
    at_least: Annotated[int, Field(ge=1, le=16)] | None = None


class Deliberation(APIModel):
    """Rounds of critique between the agents."""

    rounds: Annotated[int, Field(ge=0, le=3)] = 0
    select_top: Annotated[int, Field(ge=1, le=16)] = 3


class Output(APIModel):
    """What becomes of the change."""

    mode: OutputMode = OutputMode.BRANCH
    branch: Annotated[
        str, Field(max_length=200, pattern=r"^([A-Za-z0-9_][A-Za-z0-9_./@+#-]*)?$")
    ] = ""
    """Empty = `agenttask/<name>`."""
    push_on_failure: bool = False
    allow_paths: Annotated[tuple[Glob, ...], Field(max_length=64)] = ()
    deny_paths: Annotated[tuple[Glob, ...], Field(max_length=64)] = ()


class Artifacts(APIModel):
    """Files of the workspace to keep."""

    include: Annotated[tuple[Glob, ...], Field(max_length=32)] = ()
    max_bytes: Annotated[int, Field(ge=0, le=1073741824)] = 52428800


class Resources(APIModel):
    """Requests and limits of the agent container."""

    requests: Annotated[dict[str, Quantity], Field(max_length=8)] = {}
    limits: Annotated[dict[str, Quantity], Field(max_length=8)] = {}


class Limits(APIModel):
    """Clocks, retries and sizes."""

    active_deadline_seconds: Annotated[int, Field(ge=10, le=86400)] = 3600
    """From the agent's start."""
    start_deadline_seconds: Annotated[int, Field(ge=10, le=86400)] = 600
    """From acceptance to the agent's start."""
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    """New pods after a failure that happened before the first model call."""
    resources: Resources | None = None
    workspace_size: Quantity = "10Gi"


class Queue(APIModel):
    """Place in the queues: Kueue's by name, our own by priority."""

    name: Annotated[str, Field(max_length=63)] = ""
    priority: Annotated[int, Field(ge=0, le=1000)] = 0


class AgentTaskSpec(APIModel):
    """One agent run, as the user wrote it."""

    # Defaults are constructed and not validated: that would build validators at import.

    run_id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,20}$", max_length=20)] = "1"
    class_name: Annotated[str, Field(max_length=253)] = ""
    role: Role = Role.DEV
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)] | None = None
    prompt_from: PromptFrom | None = None
    context: Annotated[str, Field(max_length=16384)] = ""
    context_from: Annotated[tuple[ContextFrom, ...], Field(max_length=8)] = ()
    context_tokens: Annotated[int, Field(ge=0, le=32000)] = 4000
    repo: Repo
    toolchain: Annotated[str, Field(max_length=63)] = ""
    setup: Annotated[tuple[Command, ...], Field(max_length=10)] = ()
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = ()
    model: Model = Model.model_construct()
    constraints: Constraints = Constraints.model_construct()
    tools: Tools = Tools.model_construct()
    agents: Agents = Agents.model_construct()
    deliberation: Deliberation = Deliberation.model_construct()
    verify: Annotated[tuple[Command, ...], Field(max_length=10)] = ()
    protect: Annotated[tuple[Glob, ...], Field(max_length=64)] = DEFAULT_PROTECT
    output: Output = Output.model_construct()
    artifacts: Artifacts = Artifacts.model_construct()
    limits: Limits = Limits.model_construct()
    queue: Queue = Queue.model_construct()
    suspend: bool = False
    cancel: bool = False
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31536000)] = 86400

    def spec_hash(self) -> str:
        """Return the sha256 of the work, equal for equal work across schema versions.

        Fields at their defaults are dropped, since a default added to the schema
        later appears in stored objects without anyone having changed the work.
        """
        return self._work_hash

    @cached_property
    def _work_hash(self) -> str:
        """Computed once: an operator asks for it some thirty times for each Job."""
        work = self.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude=set(CONTROL_FIELDS)
        )
        return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, which finds out its own hash."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_work_hash", None)
        return copied

    def run_key(self) -> str:
        """Return `<runID>-<specHash[:8]>`, the name of this run of the task."""
        return f"{self.run_id}-{self.spec_hash()[:8]}"


CONTROL_FIELDS = ("run_id", "suspend", "cancel", "ttl_seconds_after_finished")
"""What may change while the work stays the same."""
