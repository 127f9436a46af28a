"""Commands by NATS become AgentTasks: read, decide, act as the tenant, answer.

Only the leader takes commands. A message is settled once it was done or its dead letter is
stored; a crash before that brings it back, and doing it again changes nothing. The API
server judges the tenant, whose service account is impersonated for every request.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from agenttask_api.commands import CommandKind, CommandReply, DeadLetter, Refusal
from agenttask_api.contextrecord import ContextRecord
from agenttask_api.result import AgentResult
from agenttask_operator.clock import format_time
from agenttask_operator.cluster import Cluster
from agenttask_operator.commands import (
    MAX_FAULTS,
    MAX_LOOKS,
    MAX_TRIES,
    Command,
    Envelope,
    NotDone,
    dead_letter,
    pause_after,
    read_command,
    refusal_of,
    same_work,
    sender_of,
)
from agenttask_operator.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    StoreUnavailable,
    Unavailable,
)
from agenttask_operator.kinds import TASKS
from agenttask_operator.observed import Key
from agenttask_operator.tenants import Tenants

log = logging.getLogger(__name__)

BATCH = 16
"""Commands of one kind under way at the same time."""
Object = dict[str, Any]


class Delivery(Protocol):
    """One message, to be settled in one of two ways."""

    @property
    def envelope(self) -> Envelope:
        """What came."""

    async def done(self) -> None:
        """Never deliver it again."""

    async def again(self, seconds: float) -> None:
        """Deliver it again after so many seconds."""


class Feed(Protocol):
    """Where commands come from and answers go to."""

    async def take(self, kind: CommandKind, most: int) -> Sequence[Delivery]:
        """Return the next commands, at least one unless some seconds pass without."""

    async def bury(self, letter: DeadLetter) -> bool:
        """Say whether the dead letter is stored."""

    async def answer(self, inbox: str, reply: CommandReply) -> None:
        """Send a reply; whether anybody waits for it is not known."""


class Archive(Protocol):
    """What NATS remembers of tasks."""

    async def fetch_result(self, task_id: str, sha256: str) -> AgentResult | None:
        """Return the newest result."""

    async def fetch_record(self, cluster_id: str, key: Key) -> ContextRecord | None:
        """Return the record of the last finished run; raises StoreUnavailable."""


class Bridge:
    """Does what commands ask for."""

    def __init__(
        self,
        feed: Feed,
        cluster: Cluster,
        archive: Archive,
        tenants: Tenants,
        cluster_id: str,
        clock: Callable[[], datetime],
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._feed = feed
        self._cluster = cluster
        self._archive = archive
        self._tenants = tenants
        self._cluster_id = cluster_id
        self._clock = clock
        self._may_act = may_act
        self.on_settled: Callable[[str, str], None] = lambda *_: None
        """Told of every settled command: its kind, and `done` or why not."""

    async def run(self) -> None:
        """Take commands for ever, each kind for itself: a flood of one holds up no other."""
        await asyncio.gather(*(self._run(kind) for kind in CommandKind))

    async def _run(self, kind: CommandKind) -> None:
        while True:
            deliveries = await self._feed.take(kind, BATCH)
            await asyncio.gather(*(self.handle(delivery) for delivery in deliveries))

    async def handle(self, delivery: Delivery) -> None:
        """Do one command and settle its message; raises nothing that is foreseen."""
        envelope = delivery.envelope
        pause = pause_after(envelope.delivered)
        try:
            await self._settle(delivery)
        except (Unavailable, StoreUnavailable) as error:
            log.warning("a command waits: %s", error, extra=_who(envelope))
            await delivery.again(max(pause, getattr(error, "retry_after", 0.0)))
        except Exception as error:
            # Neither the message nor the error's words: both may hold what was sent.
            log.error("a command failed by %s", type(error).__name__, extra=_who(envelope))
            await self._after_fault(delivery, type(error).__name__)

    async def _settle(self, delivery: Delivery) -> None:
        envelope = delivery.envelope
        if not self._may_act():
            raise Unavailable("this process does not lead (any longer)")
        try:
            if envelope.delivered > MAX_TRIES:
                raise NotDone(Refusal.UNDELIVERABLE, f"tried {MAX_TRIES} times without an end")
            command = read_command(envelope, self._tenants)
            reply = await self._do(command)
        except NotDone as error:
            if error.reason is Refusal.NOT_FOUND and envelope.delivered < MAX_LOOKS:
                await delivery.again(pause_after(envelope.delivered))
                return
            await self._refuse(delivery, error)
            return
        if command.reply_to:
            await self._feed.answer(command.reply_to, reply)
        await delivery.done()
        self.on_settled(envelope.kind.value, "done")

    async def _refuse(self, delivery: Delivery, error: NotDone) -> None:
        envelope = delivery.envelope
        time = format_time(self._clock())
        if not await self._feed.bury(dead_letter(error, envelope, self._tenants, time)):
            await delivery.again(pause_after(envelope.delivered))
            return
        sender = sender_of(envelope)
        if sender.inbox:
            reply = refusal_of(error, envelope, self._tenants, sender.event_id)
            await self._feed.answer(sender.inbox, reply)
        await delivery.done()
        extra = _who(envelope) | {"reason": error.reason.value}
        log.warning("a command was not done", extra=extra)
        self.on_settled(envelope.kind.value, error.reason.value)

    async def _after_fault(self, delivery: Delivery, what: str) -> None:
        if delivery.envelope.delivered < MAX_FAULTS:
            await delivery.again(pause_after(delivery.envelope.delivered))
            return
        words = f"the operator failed on it {MAX_FAULTS} times ({what}); its log says more"
        await self._refuse(delivery, NotDone(Refusal.UNDELIVERABLE, words))

    async def _do(self, command: Command) -> CommandReply:
        doers: dict[CommandKind, Callable[[Command, Cluster], Awaitable[CommandReply]]] = {
            CommandKind.EXECUTE: self._execute,
            CommandKind.STOP: self._stop,
            CommandKind.REPORT: self._report,
        }
        try:
            return await doers[command.kind](command, self._cluster.acting_as(command.tenant.user))
        except Forbidden as error:
            raise NotDone(Refusal.FORBIDDEN, str(error)) from error
        except Refused as error:
            raise NotDone(Refusal.REFUSED, str(error)) from error
        except NotFound as error:
            raise NotDone(Refusal.NOT_FOUND, f"there is no task {command.task_id}") from error

    async def _execute(self, command: Command, tenant: Cluster) -> CommandReply:
        assert command.manifest
        try:
            await tenant.create(TASKS, command.manifest)
        except Conflict:
            existing = await tenant.get(TASKS, command.key.name, command.key.namespace)
            if not same_work(existing, command):
                words = (
                    f"task {command.task_id} exists and asks for other work: choose another name"
                )
                raise NotDone(Refusal.CONFLICT, words) from None
        log.info("a command created a task", extra=_whose(command))
        return _accepted(command)

    async def _stop(self, command: Command, tenant: Cluster) -> CommandReply:
        await tenant.patch(TASKS, *command.key, {"spec": {"cancel": True}})
        log.info("a command cancelled a task", extra=_whose(command))
        return _accepted(command)

    async def _report(self, command: Command, tenant: Cluster) -> CommandReply:
        """Answer with the resource; of a deleted one with its record, which is no less its own."""
        try:
            found = await tenant.get(TASKS, command.key.name, command.key.namespace)
        except NotFound:
            record = await self._archive.fetch_record(self._cluster_id, command.key)
            if not record:
                raise
            return _accepted(command).model_copy(update={"record": record})
        result = await self._archive.fetch_result(command.task_id, "")
        update = {"status": found.get("status") or {}, "result": result}
        return _accepted(command).model_copy(update=update)


def _accepted(command: Command) -> CommandReply:
    return CommandReply(
        event_id=command.event_id,
        command=command.kind.value,
        tenant=command.tenant.name,
        ok=True,
        task_id=command.task_id,
    )


def _who(envelope: Envelope) -> dict[str, str]:
    return {"command": envelope.kind.value, "place": envelope.place}


def _whose(command: Command) -> dict[str, str]:
    return {"tenant": command.tenant.name, "namespace": command.key.namespace,
            "task": command.key.name}  # fmt: skip
