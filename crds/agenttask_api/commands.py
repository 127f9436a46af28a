"""Commands by NATS: `agent.cmd.execute`, `.stop` and `.report`, their answers and dead letters.

A tenant publishes on `agent.cmd.<command>.<tenant>`: its NATS permissions name that
token, so the subject is the one part of a message that nobody can forge. The plain
`agent.cmd.<command>` is the default tenant's, where there is one.
"""

import hashlib
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from agenttask_api.contextrecord import ContextRecord
from agenttask_api.payload import REPLY_PATTERN, Payload
from agenttask_api.result import AgentResult
from agenttask_api.spec import AgentTaskSpec

COMMANDS_STREAM = "AGENT_COMMANDS"
DEADLETTER_SUBJECT = "agent.deadletter"
MAX_COMMAND_BYTES = 256 * 1024
"""Twice what a task document can take; etcd itself refuses objects beyond 1.5 MiB."""
MAX_RAW_BYTES = 64 * 1024
"""Of a refused message in its dead letter."""
COMMAND_AGE_SECONDS = 7 * 24 * 3600
MAX_COMMANDS_PER_SUBJECT = 10_000
"""Of one tenant and command; the next one is refused to its publisher, not taken from others."""

EventId = Annotated[str, Field(max_length=256)]
ReplyTo = Annotated[str, Field(max_length=256, pattern=rf"^$|{REPLY_PATTERN}")]
"""Only an inbox: the operator may publish elsewhere, and must not be talked into it."""
TaskName = Annotated[str, Field(max_length=52, pattern=r"^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$")]
TaskId = Annotated[str, Field(max_length=116, pattern=r"^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,52})?$")]


class CommandKind(StrEnum):
    """The third token of the subject."""

    EXECUTE = "execute"
    STOP = "stop"
    REPORT = "report"


class ExecuteCommand(Payload):
    """Create an AgentTask in the tenant's namespace, as the tenant."""

    event_id: EventId = ""
    """Names the command where there is no header `Nats-Msg-Id`: a repeat does nothing."""
    reply_to: ReplyTo = ""
    name: TaskName | None = None
    """None = `cmd-` and a hash of the command's id."""
    spec: AgentTaskSpec
    """As in a manifest, in camelCase."""


class TaskCommand(Payload):
    """`stop` sets spec.cancel of a task; `report` answers with its status and result."""

    event_id: EventId = ""
    reply_to: ReplyTo = ""
    task_id: TaskId
    """`<namespace>.<name>`, or the name alone; the namespace must be the tenant's."""


class Refusal(StrEnum):
    """Why a command was not done."""

    TOO_LARGE = "TooLarge"
    INVALID_COMMAND = "InvalidCommand"
    UNKNOWN_TENANT = "UnknownTenant"
    FORBIDDEN = "Forbidden"
    REFUSED = "Refused"
    NOT_FOUND = "NotFound"
    CONFLICT = "Conflict"
    UNDELIVERABLE = "Undeliverable"
    """Tried too often: the API server did not take it, or we failed on it."""


class CommandReply(Payload):
    """What `reply_to` gets: exactly this, once or, after a crash, twice."""

    event_id: str
    command: str
    tenant: str
    ok: bool
    task_id: str = ""
    reason: str = ""
    """A Refusal; empty when `ok`."""
    message: str = ""
    status: dict[str, object] | None = None
    """Of the AgentTask, as stored; only of `report`."""
    result: AgentResult | None = None
    """Of the last finished run; only of `report`, and only while NATS has it."""
    record: ContextRecord | None = None
    """What is left of a task whose resource is deleted; only of `report`."""


class DeadLetter(Payload):
    """A command that was not done, on `agent.deadletter`."""

    event_id: str
    ts: str
    topic: str
    """The subject that it came on."""
    reason: Refusal
    message: str
    tenant: str = ""
    raw: str
    """The message itself, cut to 64 KiB."""
    raw_bytes: int
    """Bytes of the whole message."""
    encoding: str = "utf-8"
    """Of `raw`: `utf-8`, or `base64` for what is no text."""
    truncated: bool = False


def command_subject(kind: CommandKind, tenant: str = "") -> str:
    """Return where a tenant's commands go; without a tenant, the default one's."""
    return f"agent.cmd.{kind}.{tenant}" if tenant else f"agent.cmd.{kind}"


def command_subjects(kind: CommandKind) -> tuple[str, str]:
    """Return all subjects of a command."""
    return command_subject(kind), command_subject(kind, "*")


def derived_name(tenant: str, event_id: str) -> str:
    """Return the task's name for a command that gives none: the same for a repeat."""
    digest = hashlib.sha256(f"{tenant}/{event_id}".encode("utf-8", "replace")).hexdigest()
    return f"cmd-{digest[:16]}"
