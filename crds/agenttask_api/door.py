"""What the door and the verifier's door accept and answer.

Both are HTTP over a unix socket. Everything that enters through the door comes
from a container that we treat as hostile: sizes are capped before parsing.
"""

from agenttask_api.schema import OpenAPIModel
from agenttask_api.spec import Command, EnvVar
from agenttask_api.verification import StepResult

MAX_EVENT_BYTES = 64 * 1024
LOG = "log"
"""The type of an event that is log lines and no progress: masked, kept, sent to who asks."""
TOOL = "tool"
"""The type of an event that is one call of a tool, for the trace alone; `data` is a ToolCall."""
MAX_MODEL_REQUEST_BYTES = 8 * 1024 * 1024
MAX_MODEL_RESPONSE_BYTES = 32 * 1024 * 1024
MAX_BUNDLE_BYTES = 256 * 1024 * 1024


class DoorEvent(OpenAPIModel):
    """POST /events: one line of the agent's progress."""

    step: int
    type: str
    """A Thought type, `model_call`, `log` or `tool`."""
    message: str = ""
    data: dict[str, object] = {}


class ToolCall(OpenAPIModel):
    """One call of a tool, as the agent tells it where its run is traced."""

    operation: str
    began_ns: int
    """Nanoseconds since 1970."""
    ended_ns: int
    success: bool
    denied: bool = False


class Receipt(OpenAPIModel):
    """GET /receipt: answered once the outcome is settled, however long that takes.

    The agent leaves only after it: its death ends the pod's main part, and the
    courier then has no more than the grace period.
    """

    phase: str
    reason: str
    message: str = ""
    commit_sha: str | None = None


class VerifyRequest(OpenAPIModel):
    """POST /verify on the verifier's socket."""

    directory: str
    """The clean checkout, below names.CHECKOUT_DIR."""
    reports: str
    """Folder for JUnit XML, below names.CHECKOUT_DIR."""
    env: tuple[EnvVar, ...] = ()
    setup: tuple[Command, ...] = ()
    verify: tuple[Command, ...] = ()


class VerifyAnswer(OpenAPIModel):
    """All steps that ran: setup stops at its first failure, verify runs them all."""

    setup: tuple[StepResult, ...] = ()
    verify: tuple[StepResult, ...] = ()
