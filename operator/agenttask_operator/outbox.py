"""The operator's connection to NATS: the only module of this package that knows it.

NATS is never waited for. The connection is made and kept in the background; while
there is none, sending fails at once and the caller, whose status is the outbox,
tries again later. Streams are ensured at every (re)connect, since a server may have
lost them.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig as JetStreamConfig
from nats.js.errors import APIError, BadRequestError, NoStreamResponseError, NotFoundError
from pydantic import ValidationError

from agenttask_api.contextrecord import ContextRecord
from agenttask_api.events import STREAMS, StreamConfig, results_subject
from agenttask_api.result import AgentResult
from agenttask_operator.contextstore import ensure_context_bucket, read_record
from agenttask_operator.errors import StoreUnavailable
from agenttask_operator.messages import Message
from agenttask_operator.observed import Key

log = logging.getLogger(__name__)

SEND_SECONDS = 1.5
FETCH_SECONDS = 1.5
"""Together with SEND_SECONDS the three seconds that a status waits for NATS at most."""
CONNECT_SECONDS = 3.0
RECONNECT_SECONDS = 1
NO_RESPONDERS_PAUSE_SECONDS = 0.25
NO_RESPONDERS_TRIES = 3
"""A stream whose leader moves has no responder for a moment; nats-py does not retry that."""
STREAM_IN_USE = 10058
"""JetStream's error code for a stream that exists with another configuration."""


class Outbox:
    """Sends messages and fetches results, or says that it cannot."""

    def __init__(self, url: str, creds: str = "") -> None:
        self._url = url
        self._creds = creds
        self._client = Client()
        self._ready = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._began = 0.0
        self.on_ready: Callable[[], None] | None = None
        """Called whenever NATS can be reached again."""

    @property
    def client(self) -> Client:
        """The connection itself, for the other NATS adapters."""
        return self._client

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        return self._ready.is_set() and self._client.is_connected

    async def ready(self, seconds: float) -> bool:
        """Wait for a connection, at most so long; say whether there is one."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), seconds)
        if not self.connected:
            await asyncio.sleep(RECONNECT_SECONDS)
        return self.connected

    def start(self) -> None:
        """Begin to connect, in the background and for ever."""
        self._began = asyncio.get_running_loop().time()
        self._runner = asyncio.create_task(self._connect(), name="outbox")

    async def close(self) -> None:
        """Close the connection; what was not sent stays unsent."""
        if self._runner:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if not self._client.is_closed:
            await self._client.close()

    async def publish(self, messages: Iterable[Message]) -> bool:
        """Say whether NATS has stored all messages; sending them again is harmless."""
        if not await self._reachable():
            return False
        try:
            async with asyncio.timeout(SEND_SECONDS):
                for message in messages:
                    await self._send(message)
        except (NATSError, TimeoutError, OSError) as error:
            log.warning("NATS did not take a message: %r", error)
            return False
        return True

    async def fetch_result(self, task_id: str, sha256: str) -> AgentResult | None:
        """Return the newest result of the task if it has that checksum; empty = any checksum."""
        if not await self._reachable():
            return None
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                found = await self._jetstream().get_last_msg(
                    STREAMS[0].name, results_subject(task_id)
                )
        except NotFoundError:
            return None
        except (NATSError, TimeoutError, OSError) as error:
            log.warning("NATS did not give a result: %r", error)
            return None
        return _parse_result(found.data or b"", sha256)

    async def fetch_record(self, cluster_id: str, key: Key) -> ContextRecord | None:
        """Return what the last finished run of a task left; raises StoreUnavailable."""
        if not await self._reachable():
            raise StoreUnavailable("NATS cannot be reached")
        return await read_record(self._jetstream(), cluster_id, key)

    async def _reachable(self) -> bool:
        """Wait for the first connection only, and only in the first seconds of our life."""
        left = self._began + CONNECT_SECONDS - asyncio.get_running_loop().time()
        if not self._ready.is_set() and left > 0:
            try:
                await asyncio.wait_for(self._ready.wait(), left)
            except TimeoutError:
                return False
        return self.connected

    def _jetstream(self) -> JetStreamContext:
        return self._client.jetstream(timeout=SEND_SECONDS)

    async def _send(self, message: Message) -> None:
        for _ in range(NO_RESPONDERS_TRIES - 1):
            try:
                await self._publish_once(message)
            except NoStreamResponseError:
                await asyncio.sleep(NO_RESPONDERS_PAUSE_SECONDS)
            else:
                return
        await self._publish_once(message)

    async def _publish_once(self, message: Message) -> None:
        # A fresh dictionary each time: nats-py changes the one it is given.
        await self._jetstream().publish(
            message.subject, message.payload, headers=dict(message.headers)
        )

    async def _connect(self) -> None:
        while True:
            try:
                await self._client.connect(
                    self._url,
                    name="agenttask-operator",
                    user_credentials=self._creds or None,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_SECONDS,
                    connect_timeout=2,
                    error_cb=_log_error,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                )
                await self._prepare()
                return
            except (NATSError, TimeoutError, OSError) as error:
                log.warning("NATS cannot be reached: %r", error)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _disconnected(self) -> None:
        self._ready.clear()
        log.warning("NATS is gone; events wait")

    async def _reconnected(self) -> None:
        await self._prepare()

    async def _prepare(self) -> None:
        jetstream = self._jetstream()
        await _until_done(lambda: _ensure_streams(jetstream))
        await _until_done(lambda: ensure_context_bucket(jetstream))
        self._ready.set()
        log.info("NATS is reachable")
        if self.on_ready:
            self.on_ready()


async def _until_done(function: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await function()
        except (NATSError, TimeoutError, OSError) as error:
            log.warning("NATS is not ready: %r", error)
            await asyncio.sleep(RECONNECT_SECONDS)
        else:
            return


async def _ensure_streams(jetstream: JetStreamContext) -> None:
    for stream in STREAMS:
        try:
            await jetstream.add_stream(_stream_config(stream))
        except BadRequestError as error:
            if error.err_code != STREAM_IN_USE:
                raise
            log.info("stream %s exists with a configuration of its own", stream.name)


def _stream_config(stream: StreamConfig) -> JetStreamConfig:
    return JetStreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        max_age=stream.max_age_seconds,
        duplicate_window=stream.duplicate_window_seconds,
    )


def _parse_result(payload: bytes, sha256: str) -> AgentResult | None:
    if sha256 and hashlib.sha256(payload).hexdigest() != sha256:
        return None
    try:
        return AgentResult.model_validate_json(payload)
    except ValidationError:
        return None


async def _log_error(error: Exception) -> None:
    log.debug("NATS: %r at %s", error, datetime.now(UTC).isoformat())


__all__ = ["APIError", "Outbox"]
