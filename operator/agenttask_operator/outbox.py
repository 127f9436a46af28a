"""The operator's connection to NATS: the only module of this package that knows it.

NATS is never waited for. The connection is made and kept in the background; while
there is none, sending fails at once and the caller, whose status is the outbox,
tries again later. Streams are ensured at every (re)connect and where one is missed,
since a server may have lost them.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.errors import NoStreamResponseError, NotFoundError
from pydantic import ValidationError

from agenttask_api.cancellation import end
from agenttask_api.contextrecord import ContextRecord
from agenttask_api.events import LEDGER_STREAM, RECORDS_STREAM, STREAMS, results_subject
from agenttask_api.natslogin import NatsLogin, connect_options, tls_files
from agenttask_api.result import AgentResult
from agenttask_operator.contextstore import read_record
from agenttask_operator.errors import StoreUnavailable
from agenttask_operator.messages import Message
from agenttask_operator.observed import Key
from agenttask_operator.streams import NONE, Findings, compare_artifact_buckets, ensure

log = logging.getLogger(__name__)

SEND_SECONDS = 1.5
FETCH_SECONDS = 1.5
"""Together with SEND_SECONDS the three seconds that a status waits for NATS at most."""
CONNECT_SECONDS = 3.0
RECONNECT_SECONDS = 1
CLOSE_SECONDS = 2.0
NO_RESPONDERS_PAUSE_SECONDS = 0.25
NO_RESPONDERS_TRIES = 3
"""A stream that was deleted is made again; one whose leader moves has no responder for a moment."""
INBOX_PREFIX = "_INBOX_agenttask_operator"
"""Of its own: who may use `_INBOX.>`, as couriers and listeners do, can neither read what NATS
answers the operator nor answer in its place."""
LOOK_AGAIN_SECONDS = 60.0
"""How often streams are compared with the documentation; a deleted one is missed at once."""


@dataclass(frozen=True)
class Access:
    """How the operator identifies itself to NATS, by files; empty = not so."""

    creds: str = ""
    """A creds file: JWT and seed."""
    nkey: str = ""
    """A file with an nkey seed."""
    tls: str = ""
    """A folder with ca.crt, and tls.crt with tls.key where NATS asks for a certificate."""


class Outbox:
    """Sends messages and fetches results, or says that it cannot."""

    def __init__(self, url: str, access: Access = Access(), client: Client | None = None) -> None:
        self._url = url
        self._access = access
        self._client = client or Client()
        self._closed = asyncio.Event()
        self._ready = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []
        self.findings: Findings = NONE
        """What is not as documented, by stream."""
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
        self._running = [
            asyncio.create_task(self._connect(), name="outbox"),
            asyncio.create_task(self._look_at_streams(), name="streams"),
        ]

    async def close(self) -> None:
        """Close the connection; what was not sent stays unsent."""
        await end(*self._running)
        await _close(self._client)

    async def publish(self, messages: Iterable[Message]) -> bool:
        """Say whether NATS has stored all messages; sending them again is harmless."""
        if not await self.reachable():
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
        if not await self.reachable():
            return None
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                found = await self.jetstream().get_last_msg(
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
        if not await self.reachable():
            raise StoreUnavailable("NATS cannot be reached")
        return await read_record(self.jetstream(), cluster_id, key)

    async def reachable(self) -> bool:
        """Say whether NATS can be asked now.

        It waits for the first connection only, and only in the first seconds of our life.
        """
        left = self._began + CONNECT_SECONDS - asyncio.get_running_loop().time()
        if not self._ready.is_set() and left > 0:
            try:
                await asyncio.wait_for(self._ready.wait(), left)
            except TimeoutError:
                return False
        return self.connected

    def jetstream(self) -> JetStreamContext:
        """Return what speaks to JetStream on the connection of now."""
        return self._client.jetstream(timeout=SEND_SECONDS)

    async def _send(self, message: Message) -> None:
        for _ in range(NO_RESPONDERS_TRIES - 1):
            try:
                await self._publish_once(message)
            except NoStreamResponseError:
                await self._ensure()
                await asyncio.sleep(NO_RESPONDERS_PAUSE_SECONDS)
            else:
                return
        await self._publish_once(message)

    async def _publish_once(self, message: Message) -> None:
        # A fresh dictionary each time: nats-py changes the one it is given.
        await self.jetstream().publish(
            message.subject, message.payload, headers=dict(message.headers)
        )

    async def _connect(self) -> None:
        """Connect for ever; a client that NATS has closed, for its credentials, is replaced."""
        while True:
            try:
                await self._client.connect(**self._options())
                await self._prepare()
                await self._closed.wait()
            except (NATSError, TimeoutError, OSError, ValueError) as error:
                log.warning("NATS cannot be reached: %r", error)
            await self._drop()
            await asyncio.sleep(RECONNECT_SECONDS)

    def _options(self) -> dict[str, Any]:
        return {
            "servers": [self._url],
            "name": "agenttask-operator",
            "inbox_prefix": INBOX_PREFIX.encode(),
            "allow_reconnect": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_SECONDS,
            "connect_timeout": 2,
            "error_cb": _log_error,
            "disconnected_cb": self._disconnected,
            "reconnected_cb": self._prepare,
            "closed_cb": self._on_closed,
            **connect_options(read_login(self._access)),
        }

    async def _drop(self) -> None:
        self._ready.clear()
        old, self._client, self._closed = self._client, Client(), asyncio.Event()
        await _close(old)

    async def _disconnected(self) -> None:
        self._ready.clear()
        log.warning("NATS is gone; events wait")

    async def _on_closed(self) -> None:
        self._closed.set()

    async def _prepare(self) -> None:
        """Go on also where a stream cannot be made: whoever runs NATS may have made it."""
        await self._ensure()
        self._ready.set()
        log.info("NATS is reachable")
        if self.on_ready:
            self.on_ready()

    async def _ensure(self) -> None:
        jetstream = self.jetstream()
        found = {
            **await ensure(jetstream, (*STREAMS, LEDGER_STREAM, RECORDS_STREAM)),
            **await compare_artifact_buckets(jetstream),
        }
        for name, wrong in found.items():
            if found != self.findings:
                log.warning("stream %s is used as it is: %s", name, "; ".join(wrong))
        self.findings = found

    async def _look_at_streams(self) -> None:
        """Find what has been deleted or changed, or may be made at last."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            if self.connected:
                await self._ensure()


async def _close(client: Client) -> None:
    """Close a connection that there is; one that is lost meanwhile is as good as closed.

    nats-py fails to close one that never was, and one that it has yet to find lost.
    """
    if client.is_connected or client.is_reconnecting:
        with contextlib.suppress(NATSError, TimeoutError, OSError):
            await asyncio.wait_for(client.close(), CLOSE_SECONDS)


def read_login(access: Access) -> NatsLogin:
    """Return the login of now: a Secret's files may come and go while the operator runs."""
    tls = tls_files(Path(access.tls)) if access.tls else {}
    return NatsLogin(creds=access.creds, nkey=access.nkey, **tls)


def _parse_result(payload: bytes, sha256: str) -> AgentResult | None:
    if sha256 and hashlib.sha256(payload).hexdigest() != sha256:
        return None
    try:
        return AgentResult.model_validate_json(payload)
    except ValidationError:
        return None


async def _log_error(error: Exception) -> None:
    level = logging.WARNING if "permissions violation" in str(error).lower() else logging.DEBUG
    log.log(level, "NATS: %r", error)
