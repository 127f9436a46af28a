"""What a command by NATS asks for, and what is said when it is not done. Pure.

A message is believed in what its subject says of its tenant, and in nothing else.
"""

import binascii
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ValidationError

from agenttask_api.commands import (
    MAX_COMMAND_BYTES,
    MAX_RAW_BYTES,
    CommandKind,
    CommandReply,
    DeadLetter,
    ExecuteCommand,
    Refusal,
    TaskCommand,
    derived_name,
)
from agenttask_api.rules import broken_rules
from agenttask_api.schema import API_VERSION
from agenttask_api.spec import AgentTaskSpec
from agenttask_operator.observed import Key
from agenttask_operator.tenants import Tenant, Tenants

Object = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

MAX_TRIES = 30
"""Deliveries before a message is given up; with the pauses below about two hours."""
MAX_FAULTS = 5
"""Of our own, on one message."""
MAX_LOOKS = 4
"""For a task that is not there: a stop may overtake its execute."""
MAX_PAUSE_SECONDS = 300.0
SHOWN_ERRORS = 5


@dataclass(frozen=True)
class Envelope:
    """A message as it came."""

    kind: CommandKind
    subject: str
    payload: bytes
    message_id: str
    """Header `Nats-Msg-Id`; empty when there is none."""
    place: str
    """Where it lies in the stream: the same at each delivery, never that of another message."""
    delivered: int = 1
    """How often it was delivered, this time included."""


@dataclass(frozen=True)
class Command:
    """A command that can be tried."""

    kind: CommandKind
    tenant: Tenant
    event_id: str
    reply_to: str
    key: Key
    manifest: Object | None = None
    """Of `execute`: the AgentTask to create."""
    spec: AgentTaskSpec | None = None

    @property
    def task_id(self) -> str:
        """`<namespace>.<name>`."""
        return f"{self.key.namespace}.{self.key.name}"


class NotDone(Exception):
    """A command that is not done, and will not be by trying again."""

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def tenant_token(envelope: Envelope) -> str:
    """Return the subject's tenant; empty on the plain subject."""
    return ".".join(envelope.subject.split(".")[3:])


def read_command(envelope: Envelope, tenants: Tenants) -> Command:
    """Return what is asked; raises NotDone saying what is wrong and how to do it right."""
    tenant = _tenant(envelope, tenants)
    if len(envelope.payload) > MAX_COMMAND_BYTES:
        size = len(envelope.payload)
        raise NotDone(Refusal.TOO_LARGE, f"{size} bytes; a command has at most {MAX_COMMAND_BYTES}")
    if envelope.kind is CommandKind.EXECUTE:
        return _execute(envelope, tenant, _parse(ExecuteCommand, envelope.payload))
    return _about_a_task(envelope, tenant, _parse(TaskCommand, envelope.payload))


@dataclass(frozen=True)
class Sender:
    """How a publisher is answered."""

    inbox: str
    """Empty = not at all."""
    event_id: str


def sender_of(envelope: Envelope) -> Sender:
    """Return how to answer a message, also one of which the rest is unusable."""
    try:
        body = pydantic_core.from_json(envelope.payload)
        asked = {k: body[k] for k in ("reply_to", "event_id") if k in body}
        found = TaskCommand.model_validate({"task_id": "x", **asked})
    except (ValueError, TypeError):
        return Sender("", event_id(envelope))
    return Sender(found.reply_to, event_id(envelope, found.event_id))


def event_id(envelope: Envelope, own: str = "") -> str:
    """Return what the command is known by: its publisher's name for it, else its place."""
    return envelope.message_id or own or envelope.place


def refusal_of(error: NotDone, envelope: Envelope, tenants: Tenants, known_by: str) -> CommandReply:
    """Return what the publisher is told."""
    tenant = tenants.find(tenant_token(envelope))
    return CommandReply(
        event_id=known_by,
        command=envelope.kind.value,
        tenant=tenant.name if tenant else "",
        ok=False,
        reason=error.reason.value,
        message=str(error),
    )


def dead_letter(error: NotDone, envelope: Envelope, tenants: Tenants, time: str) -> DeadLetter:
    """Return the record of a command that was not done, with what was sent."""
    raw, encoding = _text(envelope.payload[:MAX_RAW_BYTES])
    tenant = tenants.find(tenant_token(envelope))
    return DeadLetter(
        event_id=f"{envelope.place}/deadletter",
        ts=time,
        topic=envelope.subject,
        reason=error.reason,
        message=str(error),
        tenant=tenant.name if tenant else "",
        raw=raw,
        raw_bytes=len(envelope.payload),
        encoding=encoding,
        truncated=len(envelope.payload) > MAX_RAW_BYTES,
    )


def pause_after(delivered: int) -> float:
    """Return the seconds until the next try: 1, 2, 4 ... 300."""
    return min(MAX_PAUSE_SECONDS, 2.0 ** min(delivered - 1, 16))


def same_work(existing: Object, command: Command) -> bool:
    """Say whether the task that has the name is the one that the command asks for."""
    try:
        found = AgentTaskSpec.model_validate(existing.get("spec"))
    except ValidationError:
        return False
    return command.spec is not None and found.run_key() == command.spec.run_key()


def _tenant(envelope: Envelope, tenants: Tenants) -> Tenant:
    token = tenant_token(envelope)
    found = tenants.find(token)
    if found:
        return found
    if token:
        raise NotDone(Refusal.UNKNOWN_TENANT, f"the operator's TENANTS do not name {token!r}")
    words = f"there is no default tenant: publish on {envelope.subject}.<tenant>"
    raise NotDone(Refusal.UNKNOWN_TENANT, words)


def _execute(envelope: Envelope, tenant: Tenant, command: ExecuteCommand) -> Command:
    identity = event_id(envelope, command.event_id)
    name = command.name or derived_name(tenant.name, identity)
    broken = broken_rules(name, command.spec)
    if broken:
        raise NotDone(Refusal.INVALID_COMMAND, "; ".join(broken[:SHOWN_ERRORS]))
    return Command(
        envelope.kind,
        tenant,
        identity,
        command.reply_to,
        Key(tenant.namespace, name),
        _manifest(tenant.namespace, name, command.spec),
        command.spec,
    )


def _manifest(namespace: str, name: str, spec: AgentTaskSpec) -> Object:
    """Return the task, with exactly the fields that the message sets."""
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentTask",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
    }


def _about_a_task(envelope: Envelope, tenant: Tenant, command: TaskCommand) -> Command:
    namespace, dot, name = command.task_id.partition(".")
    if not dot:
        namespace, name = tenant.namespace, command.task_id
    if namespace != tenant.namespace:
        words = f"{command.task_id} is not in {tenant.namespace}, the namespace of {tenant.name}"
        raise NotDone(Refusal.FORBIDDEN, words)
    if envelope.kind is CommandKind.REPORT and not command.reply_to:
        words = "reply_to: a report needs an inbox to go to, such as _INBOX.x1"
        raise NotDone(Refusal.INVALID_COMMAND, words)
    identity = event_id(envelope, command.event_id)
    return Command(envelope.kind, tenant, identity, command.reply_to, Key(namespace, name))


def _parse(model: type[Model], payload: bytes) -> Model:
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise NotDone(Refusal.INVALID_COMMAND, _errors(error)) from error


def _errors(error: ValidationError) -> str:
    """Return what is wrong and where, without the values: they may be anything."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in found]
    more = len(lines) - SHOWN_ERRORS
    return "; ".join(lines[:SHOWN_ERRORS]) + (f"; and {more} more" if more > 0 else "")


def _text(raw: bytes) -> tuple[str, str]:
    try:
        return raw.decode(), "utf-8"
    except UnicodeDecodeError:
        with_room = raw[: MAX_RAW_BYTES * 3 // 4]
        return binascii.b2a_base64(with_room, newline=False).decode(), "base64"
