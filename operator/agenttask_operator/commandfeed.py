"""The commands' way through NATS: a work queue, one durable consumer for each command.

A message stays in the stream until it is settled; several replicas share the consumers, and
only the leader takes from them. What a tenant may publish is decided by NATS permissions.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig
from nats.js.errors import BadRequestError

from agenttask_api.commands import (
    COMMAND_AGE_SECONDS,
    COMMANDS_STREAM,
    DEADLETTER_SUBJECT,
    MAX_COMMANDS_PER_SUBJECT,
    CommandKind,
    CommandReply,
    DeadLetter,
    command_subjects,
)
from agenttask_api.events import DUPLICATE_WINDOW_SECONDS
from agenttask_operator.bridge import Delivery
from agenttask_operator.commands import Envelope
from agenttask_operator.messages import Message
from agenttask_operator.outbox import STREAM_IN_USE, Outbox

log = logging.getLogger(__name__)

TAKE_SECONDS = 5.0
RETRY_SECONDS = 2.0
ACK_WAIT_SECONDS = 60.0
"""Longer than a command takes: two requests of 15 s to the API server, and NATS."""
MAX_REPLY_BYTES = 1000 * 1024
"""Below NATS's default max_payload of 1 MiB."""


@dataclass(frozen=True)
class NatsDelivery:
    """One message of the stream."""

    envelope: Envelope
    message: Msg

    async def done(self) -> None:
        """Take it out of the stream."""
        with contextlib.suppress(NATSError, OSError):
            await self.message.ack()

    async def again(self, seconds: float) -> None:
        """Give it back for a while."""
        with contextlib.suppress(NATSError, OSError):
            await self.message.nak(seconds)


class CommandFeed:
    """Takes commands from NATS whenever it can be reached."""

    def __init__(self, outbox: Outbox) -> None:
        self._client = outbox.client
        self._outbox = outbox
        self._pulls: dict[CommandKind, JetStreamContext.PullSubscription] = {}
        self._preparing = asyncio.Lock()
        self._prepared = False

    async def take(self, kind: CommandKind, most: int) -> Sequence[Delivery]:
        """Return the next commands; none when NATS is away or nothing comes for seconds."""
        if not await self._outbox.ready(TAKE_SECONDS):
            return ()
        try:
            pull = await self._pull(kind)
            messages = await pull.fetch(most, timeout=TAKE_SECONDS)
        except TimeoutError:
            return ()
        except (NATSError, OSError) as error:
            log.warning("no commands from NATS: %r", error)
            await self._start_anew(kind)
            await asyncio.sleep(RETRY_SECONDS)
            return ()
        return [NatsDelivery(_envelope(kind, message), message) for message in messages]

    async def bury(self, letter: DeadLetter) -> bool:
        """Say whether the dead letter is stored."""
        headers = (("Nats-Msg-Id", letter.event_id), ("content-type", "application/json"))
        message = Message(DEADLETTER_SUBJECT, headers, letter.model_dump_json().encode())
        return await self._outbox.publish([message])

    async def answer(self, inbox: str, reply: CommandReply) -> None:
        """Send a reply; one that is too large for NATS goes without its result."""
        payload = reply.model_dump_json().encode()
        if len(payload) > MAX_REPLY_BYTES:
            words = "the result is too large for a reply: read it from AGENT_RESULTS"
            reply = reply.model_copy(update={"result": None, "message": words})
            payload = reply.model_dump_json().encode()
        with contextlib.suppress(NATSError, OSError):
            await self._client.publish(inbox, payload)

    async def _start_anew(self, kind: CommandKind) -> None:
        pull = self._pulls.pop(kind, None)
        self._prepared = False
        if pull:
            with contextlib.suppress(NATSError, OSError):
                await pull.unsubscribe()

    async def _pull(self, kind: CommandKind) -> JetStreamContext.PullSubscription:
        if kind not in self._pulls:
            jetstream = self._client.jetstream()
            await self._prepare(jetstream)
            self._pulls[kind] = await jetstream.pull_subscribe_bind(
                durable=_durable(kind), stream=COMMANDS_STREAM
            )
        return self._pulls[kind]

    async def _prepare(self, jetstream: JetStreamContext) -> None:
        """Ensure stream and consumers: a server may have lost them."""
        async with self._preparing:
            if self._prepared:
                return
            try:
                await jetstream.add_stream(_stream())
            except BadRequestError as error:
                if error.err_code != STREAM_IN_USE:
                    raise
                log.info("stream %s exists with a configuration of its own", COMMANDS_STREAM)
            for kind in CommandKind:
                await jetstream.add_consumer(COMMANDS_STREAM, _consumer(kind))
            self._prepared = True


def _envelope(kind: CommandKind, message: Msg) -> Envelope:
    metadata = message.metadata
    place = f"{metadata.stream}/{metadata.sequence.stream}/{metadata.timestamp.isoformat()}"
    return Envelope(
        kind=kind,
        subject=message.subject,
        payload=message.data,
        message_id=(message.headers or {}).get("Nats-Msg-Id", ""),
        place=place,
        delivered=metadata.num_delivered,
    )


def _durable(kind: CommandKind) -> str:
    return f"agenttask-{kind}"


def _stream() -> StreamConfig:
    return StreamConfig(
        name=COMMANDS_STREAM,
        subjects=[subject for kind in CommandKind for subject in command_subjects(kind)],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        discard_new_per_subject=True,
        max_msgs_per_subject=MAX_COMMANDS_PER_SUBJECT,
        max_age=COMMAND_AGE_SECONDS,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
    )


def _consumer(kind: CommandKind) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=_durable(kind),
        filter_subjects=list(command_subjects(kind)),
        ack_wait=ACK_WAIT_SECONDS,
        # Tries are counted by us: what is given up goes to agent.deadletter, never silently.
        max_deliver=-1,
    )
