"""`AgentClass.spec`: what the platform allows, as a StorageClass does for volumes.

Cluster-scoped. Names of Secrets and service accounts are looked up in the
namespace of the task that uses the class.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from agenttask_api.engine import DOCKER_HOST
from agenttask_api.refs import KeyRef, LocalRef, Name
from agenttask_api.schema import APIModel, OpenAPIModel
from agenttask_api.spec import Glob, Label, Resources, Role
from agenttask_api.status import UNSEEN_GENERATION, Condition

LabelValue = Annotated[str, Field(max_length=63)]
AnnotationValue = Annotated[str, Field(max_length=4096)]
ImageGlob = Annotated[
    str, Field(min_length=1, max_length=255, pattern=r"^[a-z0-9*][a-z0-9._:/*-]*$")
]

DEFAULT_CLASS_ANNOTATION = "agenttask.dev/is-default-class"
DEFAULT_MODEL = "Qwen/Qwen3-0.6B"
PROXY = r"^(https?://[^\s/@]+)?$"
DEFAULT_DENY_PATHS = (".github/workflows/**", ".gitlab-ci.yml", ".circleci/**", "Jenkinsfile")
"""CI definitions run with the repository's own secrets, so a change to them is refused."""


class Profile(StrEnum):
    """How the model is driven; Auto = decided by the start-up probe."""

    AUTO = "Auto"
    SMALL = "Small"
    LARGE = "Large"


class LedgerPolicy(StrEnum):
    """What happens to a new run while the run-once ledger cannot be reached."""

    RUN = "Run"
    HOLD = "Hold"


class LabelSelector(APIModel):
    """Namespaces by label; empty = all."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=16)] = {}


class Generation(APIModel):
    """Sampling and size bounds of one model reply."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1000000)] | None = None
    context_window: Annotated[int, Field(ge=1024, le=10000000)] | None = None


class ClassModel(APIModel):
    """The vLLM server and how to ask it."""

    endpoint: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^https?://[^\s]+$")]
    """Base URL without `/v1`."""
    name: Annotated[str, Field(min_length=1, max_length=253)] = DEFAULT_MODEL
    allowed_names: Annotated[tuple[Name, ...], Field(max_length=64)] = ()
    api_key_secret_ref: KeyRef | None = None
    profile: Profile = Profile.AUTO
    generation: Generation = Generation()
    roles: Annotated[dict[Role, Generation], Field(max_length=6)] = {}
    max_concurrent_tasks: Annotated[int, Field(ge=1, le=10000)] = 32


class Toolchain(APIModel):
    """A named image that tasks may pick; they never name an image themselves."""

    name: Label
    image: Annotated[str, Field(max_length=1024)] = ""
    """Empty = the operator's agent image."""
    docker_host: Annotated[str, Field(max_length=1024, pattern=DOCKER_HOST)] = ""
    """Engine of the docker tools; empty = there are none."""
    docker_images: Annotated[tuple[ImageGlob, ...], Field(max_length=64)] = ()
    """Full names without tag, or globs of them, that containers and builds may start from.
    Empty = only what a run builds itself, `FROM scratch`."""


class ClassTools(APIModel):
    """What no task of this class may exceed."""

    allow: Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=64)] = (
        "*",
    )
    http_hosts: Annotated[
        tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=64)
    ] = ()
    """`host`, `*.domain`, `host:port`; `private:` before it opens a private address.
    Empty = no host at all: a task reaches what both lists name."""


class LimitValues(APIModel):
    """Limits as a default or as a maximum."""

    active_deadline_seconds: Annotated[int, Field(ge=10, le=86400)] | None = None
    start_deadline_seconds: Annotated[int, Field(ge=10, le=86400)] | None = None
    retries: Annotated[int, Field(ge=0, le=10)] | None = None
    max_model_tokens: Annotated[int, Field(ge=1000, le=100000000)] | None = None
    resources: Resources | None = None


class ClassLimits(APIModel):
    """Defaults for what a task leaves out, maxima for what it asks."""

    default: LimitValues = LimitValues()
    max: LimitValues = LimitValues()


class Toleration(APIModel):
    """As core/v1 Toleration."""

    key: Annotated[str, Field(max_length=316)] = ""
    operator: Annotated[str, Field(pattern="^(Exists|Equal)$", max_length=6)] = "Equal"
    value: Annotated[str, Field(max_length=63)] = ""
    effect: Annotated[
        str, Field(pattern="^(|NoSchedule|PreferNoSchedule|NoExecute)$", max_length=16)
    ] = ""


class Pod(APIModel):
    """Where and as whom the pod runs."""

    service_account_name: Annotated[str, Field(max_length=253)] = ""
    runtime_class_name: Annotated[str, Field(max_length=253)] = ""
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=32)] = {}
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = ()
    image_pull_secrets: Annotated[tuple[LocalRef, ...], Field(max_length=8)] = ()
    labels: Annotated[dict[str, LabelValue], Field(max_length=32)] = {}
    annotations: Annotated[dict[str, AnnotationValue], Field(max_length=32)] = {}
    priority_class_name: Annotated[str, Field(max_length=253)] = ""


class Egress(APIModel):
    """A hole in the default-deny network policy."""

    cidr: Annotated[str, Field(max_length=64)] = ""
    namespace_selector: LabelSelector | None = None
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(max_length=32)] = ()


class Nats(APIModel):
    """Where results and events go; an empty url = the operator's own."""

    url: Annotated[str, Field(max_length=2048, pattern=r"^((nats|tls)://[^\s]+)?$")] = ""
    creds_secret_ref: LocalRef | None = None
    tls_secret_ref: LocalRef | None = None


class Git(APIModel):
    """Who commits, and what is never pushed."""

    author_name: Annotated[str, Field(min_length=1, max_length=128)] = "AgentTask"
    author_email: Annotated[str, Field(min_length=3, max_length=254)] = "agenttask@noreply.invalid"
    deny_paths: Annotated[tuple[Glob, ...], Field(max_length=64)] = DEFAULT_DENY_PATHS
    secret_scan: bool = True
    proxy: Annotated[str, Field(max_length=1024, pattern=PROXY)] = ""
    """Of https to git servers, `http://host:port`; empty = none. It cannot hold a password."""
    no_proxy: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=32)
    ] = ()
    """Hosts and domains that are reached without it."""


class Council(APIModel):
    """Defaults for deliberation."""

    agents: Annotated[int, Field(ge=1, le=16)] = 1
    rounds: Annotated[int, Field(ge=0, le=3)] = 0
    weights: Annotated[dict[str, int], Field(max_length=16)] = {}


class Ledger(APIModel):
    """The run-once record."""

    on_unavailable: LedgerPolicy = LedgerPolicy.RUN


class AgentClassSpec(APIModel):
    """One way of running agents, owned by the platform."""

    allowed_namespaces: LabelSelector | None = None
    model: ClassModel
    toolchains: Annotated[tuple[Toolchain, ...], Field(max_length=32)] = ()
    default_toolchain: Annotated[str, Field(max_length=63)] = ""
    tools: ClassTools = ClassTools()
    limits: ClassLimits = ClassLimits()
    pod: Pod = Pod()
    egress: Annotated[tuple[Egress, ...], Field(max_length=32)] = ()
    nats: Nats = Nats()
    git: Git = Git()
    council: Council = Council()
    ledger: Ledger = Ledger()
    flush_seconds: Annotated[int, Field(ge=0, le=86400)] = 900
    """How long a finished pod holds results that NATS would not take."""


class AgentClassStatus(OpenAPIModel):
    """What the operator found out about a class, and its load."""

    observed_generation: int = UNSEEN_GENERATION
    conditions: tuple[Condition, ...] = ()
    running: int = 0
    """Tasks of this class whose agent is at work."""
    queued: int = 0
    """Tasks of this class that wait for their turn."""
