"""Publish to NATS: events while the run lasts, artifacts and the result at its end.

Nothing here ever blocks the run: events wait in a bounded buffer while NATS is away,
and only `deliver` is waited for, as long as its caller likes. Message ids are fixed,
so every repeat is harmless.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import BucketNotFoundError, NoStreamResponseError

from agenttask_api import events
from agenttask_api.cancellation import end
from agenttask_api.natslogin import NatsLogin, connect_options, tls_files
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.inbox import StoredFile
from agenttask_courier.journal import Seldom, log, now
from agenttask_courier.objects import Bucket
from agenttask_courier.places import Places
from agenttask_courier.settings import Settings

MAX_WAITING_EVENTS = 1000
MAX_WAITING_BYTES = 8 * 1024 * 1024
"""Of the events that wait for NATS: an outage must not cost the courier its memory."""
AFTER_A_CRASH = 1_000_000_000
"""More events than a run can have: it asks for at most 50 a second."""
ACK_SECONDS = 5.0
RETRY_SECONDS = 0.5
CLOSE_SECONDS = 0.5
_FAILURES = (NatsError, OSError, TimeoutError)


@dataclass(frozen=True)
class _Message:
    subject: str
    payload: bytes
    headers: dict[str, str]


@dataclass
class Publisher:
    """One run's voice on NATS."""

    settings: Settings
    document: TaskDocument
    places: Places
    dropped: int = 0
    """Events that found the buffer full."""
    _client: Client = field(default_factory=Client)
    _waiting: deque[bytes] = field(default_factory=deque)
    _some: asyncio.Event = field(default_factory=asyncio.Event)
    _none_left: asyncio.Event = field(default_factory=asyncio.Event)
    _connected: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _troubles: Seldom = field(default_factory=Seldom)
    _waiting_bytes: int = 0
    _seq: int = 0

    def start(self) -> None:
        """Begin to connect, for as long as it takes."""
        self._none_left.set()
        self._tasks = [asyncio.create_task(self._connect()), asyncio.create_task(self._pump())]

    async def close(self) -> None:
        """Stop at once; what is still waiting is lost."""
        await end(*self._tasks)
        if self._connected.is_set():
            with contextlib.suppress(*_FAILURES):
                await asyncio.wait_for(self._client.close(), CLOSE_SECONDS)
        else:
            await _hang_up(self._client)

    def go_on(self) -> None:
        """Count on behind the events of the courier that died: its ids are taken."""
        self._seq = AFTER_A_CRASH

    def event(
        self,
        kind: str,
        step: str,
        message: str = "",
        data: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Queue a started or progress event; beyond the buffer it is counted and dropped."""
        if not self.settings.nats_url:
            return
        self._seq += 1
        event = self._event(kind, step, message, data).model_dump_json().encode()
        full = self._waiting_bytes + len(event) > MAX_WAITING_BYTES
        if full or len(self._waiting) >= MAX_WAITING_EVENTS:
            self.dropped += 1
            return
        self._waiting.append(event)
        self._waiting_bytes += len(event)
        self._none_left.clear()
        self._some.set()

    async def deliver(self, files: Sequence[StoredFile], result: bytes) -> None:
        """Store the artifacts, then publish the result; retries for ever."""
        await self._until_done(self._store_all, files)
        await self._until_done(self._publish, self._result_message(result))

    async def connection(self) -> Client:
        """Return the connection once there is one."""
        await self._connected.wait()
        return self._client

    async def events_sent(self) -> None:
        """Return once no event is waiting."""
        await self._none_left.wait()

    async def _connect(self) -> None:
        while not self._client.is_connected:
            try:
                await self._client.connect(**self._options())
            except (*_FAILURES, ValueError) as error:
                self._troubles.log("nats.unreachable", error)
                await asyncio.sleep(RETRY_SECONDS)
        log("nats.connected")
        self._connected.set()

    def _options(self) -> dict[str, Any]:
        identity = self.document.identity
        return {
            "servers": [self.settings.nats_url],
            "name": f"agenttask-courier/{identity.task_id}",
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RETRY_SECONDS,
            "connect_timeout": 5,
            "error_cb": self._log_error,
            **connect_options(read_login(self.places)),
        }

    async def _pump(self) -> None:
        while True:
            await self._some.wait()
            while self._waiting:
                await self._until_done(self._publish, self._event_message(self._waiting[0]))
                self._waiting_bytes -= len(self._waiting.popleft())
            self._some.clear()
            self._none_left.set()

    async def _until_done(self, action: Any, argument: Any) -> None:
        """Repeat an action until NATS has taken it."""
        await self._connected.wait()
        while True:
            # What is sent without a connection piles up in the client.
            if self._client.is_connected and await self._done(action, argument):
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _done(self, action: Any, argument: Any) -> bool:
        try:
            await action(argument)
        except _FAILURES as error:
            self._troubles.log("nats.retry", error)
            return False
        return True

    async def _log_error(self, error: Exception) -> None:
        self._troubles.log("nats.error", error)

    async def _publish(self, message: _Message) -> None:
        jetstream = self._client.jetstream(timeout=ACK_SECONDS)
        try:
            await _send(jetstream, message)
        except NoStreamResponseError:
            await _ensure_stream(jetstream, message.subject)
            await _send(jetstream, message)

    async def _store_all(self, files: Sequence[StoredFile]) -> None:
        if not files:
            return
        bucket = await self._bucket()
        identity = self.document.identity
        for file in files:
            key = events.artifact_key(
                identity, self.settings.index, self.settings.pod_uid, file.name
            )
            await bucket.put(key, file)

    async def _bucket(self) -> Bucket:
        jetstream = self._client.jetstream(timeout=ACK_SECONDS)
        name = events.artifact_bucket(self.document.identity.namespace)
        try:
            await jetstream.object_store(name)
        except BucketNotFoundError:
            await jetstream.create_object_store(name, ttl=events.ARTIFACT_TTL_SECONDS)
        return Bucket(jetstream, name)

    def _event(
        self, kind: str, step: str, message: str, data: Mapping[str, object]
    ) -> events.ResponseEvent:
        identity = self.document.identity
        return events.ResponseEvent(
            event_id=events.progress_id(
                identity, self.settings.index, self.settings.pod_uid, self._seq
            ),
            ts=now(),
            trace_id=events.trace_id(identity.uid),
            task_id=identity.task_id,
            run_key=identity.run_key,
            kind=kind,
            step=step,
            message=message,
            data=dict(data),
        )

    def _event_message(self, payload: bytes) -> _Message:
        """Return what is sent; the headers are larger than most events, so they do not wait."""
        event = events.ResponseEvent.model_validate_json(payload)
        subject = events.response_subject(event.kind, event.task_id)
        return self._message(subject, payload, event.event_id, event.kind, event.ts)

    def _result_message(self, payload: bytes) -> _Message:
        identity = self.document.identity
        id_ = events.result_id(identity, self.settings.index, self.settings.pod_uid)
        subject = events.results_subject(identity.task_id)
        return self._message(subject, payload, id_, "result", now())

    def _message(self, subject: str, payload: bytes, id_: str, kind: str, time: str) -> _Message:
        headers = events.headers(
            id_, kind, self.document.identity.task_id, self.settings.cluster_id, time
        )
        return _Message(subject, payload, headers)


def read_login(places: Places) -> NatsLogin:
    """Return how the run identifies itself, from the mounted Secrets; raises OSError."""
    folder, found = places.nats_creds, dict[str, str]()
    if creds := sorted(folder.glob("*.creds")):
        found["creds"] = str(creds[0])
    if (folder / "nkey").is_file():
        found["nkey"] = str(folder / "nkey")
    for name in ("username", "password", "token"):
        if (folder / name).is_file():
            found[name] = (folder / name).read_text("utf-8").strip()
    if (places.nats_tls / "ca.crt").exists():
        found |= tls_files(places.nats_tls)
    return NatsLogin(**found)


async def _hang_up(client: Client) -> None:
    """Close what a cancelled attempt to connect has left open: nats-py does not."""
    if transport := client._transport:
        transport.close()  # type: ignore[no-untyped-call]
        # Its own `wait_closed` may have been cancelled with the attempt; a turn of the loop does.
        await asyncio.sleep(0)


async def _send(jetstream: JetStreamContext, message: _Message) -> None:
    await jetstream.publish(
        message.subject, message.payload, headers=message.headers, timeout=ACK_SECONDS
    )


async def _ensure_stream(jetstream: JetStreamContext, subject: str) -> None:
    """Create the stream of a subject; somebody else may have been quicker."""
    wanted = next(s for s in events.STREAMS if subject.startswith(s.subjects[0].rstrip(">")))
    config = StreamConfig(
        name=wanted.name,
        subjects=list(wanted.subjects),
        max_age=wanted.max_age_seconds,
        duplicate_window=wanted.duplicate_window_seconds,
        max_msg_size=wanted.max_message_bytes,
    )
    with contextlib.suppress(NatsError):
        await jetstream.add_stream(config)
