"""The task document: everything the pod is told, in one file without a secret.

It travels as the pod annotation `names.TASK_ANNOTATION` and is mounted by the
downward API at `names.TASK_FILE` in every container. Budget 200 KiB of the
262,144 bytes that all annotations of an object may take together.
"""

from agenttask_api.agentclass import DEFAULT_DENY_PATHS
from agenttask_api.schema import OpenAPIModel
from agenttask_api.spec import (
    Artifacts,
    Command,
    Connection,
    Constraints,
    EnvVar,
    Output,
    Repo,
    Role,
)

MAX_DOCUMENT_BYTES = 200 * 1024


class TaskIdentity(OpenAPIModel):
    """Which run of which task this is."""

    namespace: str
    name: str
    uid: str
    run_id: str
    run_key: str
    run_number: int = 1

    @property
    def task_id(self) -> str:
        """`<namespace>.<name>`: unique in a cluster, and one NATS subject suffix."""
        return f"{self.namespace}.{self.name}"


class ModelSettings(OpenAPIModel):
    """How to ask the model; the endpoint and the key are the courier's alone."""

    name: str
    temperature: float | None = None
    max_tokens: int | None = None
    context_window: int | None = None
    profile: str = "Auto"


class GitPolicy(OpenAPIModel):
    """Who commits, and which paths are never pushed."""

    author_name: str = "AgentTask"
    author_email: str = "agenttask@noreply.invalid"
    deny_paths: tuple[str, ...] = DEFAULT_DENY_PATHS
    secret_scan: bool = True
    proxy: str = ""
    """Of https to git servers; empty = none."""
    no_proxy: tuple[str, ...] = ()


class Clocks(OpenAPIModel):
    """Seconds. The run's clock starts with the agent, the flush's with the result."""

    run_seconds: int
    flush_seconds: int
    grace_seconds: int


class TaskDocument(OpenAPIModel):
    """One run, ready to be worked on: class defaults applied, references resolved."""

    identity: TaskIdentity
    role: Role
    prompt: str
    context: str = ""
    repo: Repo
    setup: tuple[Command, ...] = ()
    env: tuple[EnvVar, ...] = ()
    model: ModelSettings
    constraints: Constraints
    tools_allow: tuple[str, ...] = ("*",)
    class_tools_allow: tuple[str, ...] = ("*",)
    """An operation must match both lists."""
    connections: tuple[Connection, ...] = ()
    """With the names of their Secrets, as `repo` has its own; the values are the courier's."""
    http_hosts: tuple[str, ...] = ()
    """What both task and class allow, as entries of a class; empty = none."""
    docker_host: str = ""
    """Address of the container engine; empty = there is none."""
    docker_images: tuple[str, ...] = ()
    """Images that containers may start from, as globs; what the run builds may be used anyway."""
    verify: tuple[Command, ...] = ()
    protect: tuple[str, ...] = ()
    output: Output
    artifacts: Artifacts
    git: GitPolicy = GitPolicy()
    clocks: Clocks
    workspace_bytes: int = 0
    """`limits.workspaceSize`: of the workspace and of the checkout each; 0 = not bounded."""
    traceparent: str = ""
    """W3C; the span under which those of the pod hang. Empty = nothing is traced."""

    def branch(self) -> str:
        """Return the branch that a change is pushed to."""
        return self.output.branch or f"agenttask/{self.identity.name}"

    def change_wanted(self) -> bool:
        """Say whether a run that changed nothing has failed."""
        return self.output.mode != "None" and not self.constraints.read_only
