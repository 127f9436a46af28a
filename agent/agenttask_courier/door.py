"""The door: every request the agent can make, typed and size-capped before parsing.

What comes in is kept or passed on, never acted upon here. Paths, limits and answers
are those of docs/contract.md.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pydantic_core
from aiohttp import web
from pydantic import ValidationError

from agenttask_api.door import (
    LOG,
    MAX_BUNDLE_BYTES,
    MAX_EVENT_BYTES,
    MAX_MODEL_REQUEST_BYTES,
    DoorEvent,
    Receipt,
)
from agenttask_api.result import MAX_REPORT_BYTES, AgentReport
from agenttask_courier.doorroutes import ARTIFACT_NAME, DATABASE_ROUTE, ROUTES, openapi
from agenttask_courier.errors import Refused, bad_request, too_large
from agenttask_courier.gate import Gate
from agenttask_courier.inbox import RESERVED_NAMES, Inbox, stored
from agenttask_courier.journal import log
from agenttask_courier.upstream import Relayed

HEARTBEAT_SECONDS = 15.0
MAX_EVENTS_PER_SECOND = 50
MAX_LOGS_PER_SECOND = 20
MAX_UPLOADS = 1000
_NAME = re.compile(ARTIFACT_NAME)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", DoorEvent, AgentReport)


@dataclass
class Door:
    """The door of one run."""

    gate: Gate
    inbox: Inbox
    on_event: Callable[[DoorEvent], None]
    receipt: "asyncio.Future[Receipt]"
    databases: Handler | None = None
    """Answers `/db/{connection}`; None = the task has no connections."""
    pace: "Pace" = field(default_factory=lambda: Pace(MAX_EVENTS_PER_SECOND))
    log_pace: "Pace" = field(default_factory=lambda: Pace(MAX_LOGS_PER_SECOND))
    """Of log lines, which are no events: what is beyond is dropped and not told."""
    _upload: asyncio.Lock = field(default_factory=asyncio.Lock)
    _uploads: int = 0

    def app(self) -> web.Application:
        """Return the application that answers on the door's socket."""
        app = web.Application(
            middlewares=[_errors, self._attached_first], client_max_size=MAX_MODEL_REQUEST_BYTES
        )
        for route in ROUTES:
            app.router.add_route(route.method, route.path, getattr(self, route.handler))
        if self.databases:
            route = DATABASE_ROUTE
            app.router.add_route(route.method, route.path, self._while_running(self.databases))
        return app

    @web.middleware
    async def _attached_first(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse everything before the lifeline, which starts the run's clock."""
        if request.path != "/lifeline" and not self.inbox.attached.is_set():
            raise Refused(409, "Conflict", "open the lifeline first")
        return await handler(request)

    def _while_running(self, handler: Handler) -> Handler:
        """Refuse what would act for an agent that has handed in its result."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if self.inbox.report is not None or self.inbox.closed:
                raise Refused(409, "Conflict", "the result was delivered; nothing more is done")
            return await handler(request)

        return handle

    async def lifeline(self, request: web.Request) -> web.StreamResponse:
        """Never end; whoever holds this is alive, and its end means that he is gone."""
        if self.inbox.holding:
            raise Refused(409, "Conflict", "the lifeline is already open")
        if self.gate.closed.is_set() and not self.inbox.attached.is_set():
            raise Refused(403, "gate_closed", "the pod is ending; no run begins any more")
        self.inbox.holding = True
        self.inbox.attached.set()
        try:
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            while True:
                await response.write(b"\n")
                await asyncio.sleep(HEARTBEAT_SECONDS)
        finally:
            self.inbox.holding = False
            self.inbox.gone.set()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return _relay(await self.gate.chat(await _object(request, MAX_MODEL_REQUEST_BYTES)))

    async def tokenize(self, request: web.Request) -> web.StreamResponse:
        return _relay(await self.gate.tokenize(await _object(request, MAX_MODEL_REQUEST_BYTES)))

    async def models(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(await self.gate.models())

    async def openapi(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(openapi())

    async def event(self, request: web.Request) -> web.StreamResponse:
        event = _validated(DoorEvent, await _read(request, MAX_EVENT_BYTES))
        pace = self.log_pace if event.type == LOG else self.pace
        if pace.admits(time.monotonic()):
            self.on_event(event)
        return web.Response(status=202)

    async def artifact(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if not _NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise bad_request(f"no name for an artifact: {name!r}")
        async with self._upload:
            path = await self._receive(request, self.inbox.room(name))
            self.inbox.keep(await asyncio.to_thread(stored, name, path))
        return web.Response(status=201)

    async def bundle(self, request: web.Request) -> web.StreamResponse:
        async with self._upload:
            path = await self._receive(request, MAX_BUNDLE_BYTES)
            if self.inbox.bundle:
                self.inbox.bundle.unlink(missing_ok=True)
            self.inbox.bundle = path
        return web.Response(status=201)

    async def result(self, request: web.Request) -> web.StreamResponse:
        report = _validated(AgentReport, await _read(request, MAX_REPORT_BYTES))
        async with self._upload:
            if not self.inbox.deliver(report):
                raise Refused(409, "Conflict", "there is a result already")
        self.gate.close("the result was delivered")
        return web.Response(status=202)

    async def get_receipt(self, _request: web.Request) -> web.StreamResponse:
        receipt = await asyncio.shield(self.receipt)
        return web.json_response(receipt.to_api())

    async def _receive(self, request: web.Request, limit: int) -> Path:
        """Stream a body to a file of ours; raises Refused beyond the limit or after the end."""
        self._check_taking()
        self._uploads += 1
        path = self.inbox.new_file()
        try:
            await _stream_to(request, path, limit)
            self._check_taking()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _check_taking(self) -> None:
        if self.inbox.report is not None or self.inbox.closed:
            raise Refused(409, "Conflict", "the result was delivered; nothing more is taken")
        if self._uploads >= MAX_UPLOADS:
            raise Refused(429, "TooManyRequests", f"more than {MAX_UPLOADS} uploads")


@dataclass
class Pace:
    """At most so many per second; what is beyond is counted and dropped."""

    per_second: int
    dropped: int = 0
    _second: int = 0
    _count: int = 0

    def admits(self, moment: float) -> bool:
        """Say whether one more may pass at this moment, in seconds."""
        if int(moment) != self._second:
            self._second, self._count = int(moment), 0
        self._count += 1
        if self._count > self.per_second:
            self.dropped += 1
            return False
        return True


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure as vLLM would; ours are logged and never explained outside."""
    try:
        return await handler(request)
    except Refused as refused:
        return refused.response()
    except web.HTTPException as error:
        return Refused(error.status, error.reason.replace(" ", ""), error.reason).response()
    except (ConnectionError, asyncio.CancelledError):
        raise
    except OSError as error:
        log("door.disk", error=str(error))
        return Refused(507, "InsufficientStorage", "no room on the courier's volume").response()


async def _read(request: web.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    body = bytearray()
    async for piece in request.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def _parse(body: bytes) -> object:
    """Return the JSON body; nesting, invalid UTF-8 and NaN end in a 400."""
    try:
        return pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise bad_request(f"no JSON: {error}") from error


async def _object(request: web.Request, limit: int) -> dict[str, object]:
    body = _parse(await _read(request, limit))
    if not isinstance(body, dict):
        raise bad_request("the body is no JSON object")
    return body


def _validated(model: type[Model], body: bytes) -> Model:
    """Return the body as what it must be, to the letter: no text for a number."""
    _parse(body)
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise bad_request(f"{where}: {first['msg']}") from error


async def _stream_to(request: web.Request, path: Path, limit: int) -> None:
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    size = 0
    with path.open("wb") as target:
        async for piece in request.content.iter_chunked(256 * 1024):
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            target.write(piece)


def _relay(answer: Relayed) -> web.Response:
    with contextlib.suppress(ValueError):
        return web.Response(
            status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type}
        )
    raise Refused(502, "upstream_unreachable", "the model endpoint answered no HTTP")
