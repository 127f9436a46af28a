"""A double of the courier's door: the contract's HTTP on a unix socket, nothing judged.

It forwards model calls to a real server and keeps what is put. Runs on an event loop
in a thread of its own, so that the agent can be a real process.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from agenttask_api.databases import Reply
from agenttask_api.door import DoorEvent, Receipt
from agenttask_api.result import AgentReport


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def is_probe(body: dict[str, Any]) -> bool:
    """Say whether a request is a question of the start-up probe."""
    return bool(body["messages"] == [{"role": "user", "content": "ok"}])


@dataclass
class DoorDouble:
    """What came through the door, and what the gate is to say."""

    socket: Path
    upstream: str
    receipt: Receipt = Receipt(phase="Succeeded", reason="Completed")
    refusal: tuple[int, str, str] | None = None
    """Status, type and message that the gate answers in place of the model."""
    lifelines: int = 0
    gone: threading.Event = field(default_factory=threading.Event)
    events: list[DoorEvent] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    bundle: bytes | None = None
    report: AgentReport | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Turns of the work; the start-up probe's questions are in `probes`."""
    probes: list[dict[str, Any]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    databases: Reply | None = None
    """The answer to every statement; None = the task has no connections."""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=_set)
    """Cleared, it holds the receipt back."""
    asked_for_receipt: threading.Event = field(default_factory=threading.Event)
    called_model: threading.Event = field(default_factory=threading.Event)

    async def lifeline(self, request: web.Request) -> web.StreamResponse:
        self.lifelines += 1
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"\n")
                await asyncio.sleep(0.2)
        except (ConnectionError, asyncio.CancelledError):
            self.gone.set()
            raise
        return response

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        if is_probe(body):
            self.probes.append(body)
        else:
            self.requests.append(body)
            self.called_model.set()
        if self.refusal:
            status, kind, message = self.refusal
            error = {"message": message, "type": kind, "code": kind}
            return web.json_response({"error": error}, status=status)
        return await self._forward(request)

    async def forward(self, request: web.Request) -> web.Response:
        return await self._forward(request)

    async def _forward(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.request(request.method, self.upstream + request.path, data=body) as answer,
            ):
                content = await answer.read()
                return web.Response(
                    body=content, status=answer.status, content_type=answer.content_type
                )
        except aiohttp.ClientError as error:
            message = {"message": f"upstream: {error}", "type": "upstream", "code": 502}
            return web.json_response({"error": message}, status=502)

    async def statement(self, request: web.Request) -> web.Response:
        self.asked.append((request.match_info["connection"], await request.json()))
        if self.databases is None:
            return web.Response(status=404)
        return web.json_response(self.databases.to_api())

    async def event(self, request: web.Request) -> web.Response:
        self.events.append(DoorEvent.model_validate_json(await request.read()))
        return web.Response(status=202)

    async def artifact(self, request: web.Request) -> web.Response:
        self.order.append(request.match_info["name"])
        self.artifacts[request.match_info["name"]] = await request.read()
        return web.Response(status=201)

    async def put_bundle(self, request: web.Request) -> web.Response:
        self.order.append("bundle")
        self.bundle = await request.read()
        return web.Response(status=201)

    async def result(self, request: web.Request) -> web.Response:
        self.order.append("result")
        if self.report is not None:
            return web.Response(status=409)
        self.report = AgentReport.model_validate_json(await request.read())
        return web.Response(status=202)

    async def get_receipt(self, _: web.Request) -> web.Response:
        self.order.append("receipt")
        self.asked_for_receipt.set()
        await asyncio.to_thread(self.may_answer.wait)
        return web.json_response(self.receipt.to_api())

    def app(self) -> web.Application:
        app = web.Application(client_max_size=300 * 1024 * 1024)
        app.add_routes(
            [
                web.get("/lifeline", self.lifeline),
                web.post("/v1/chat/completions", self.chat),
                web.get("/v1/models", self.forward),
                web.post("/tokenize", self.forward),
                web.post("/events", self.event),
                web.post("/db/{connection}", self.statement),
                web.put("/artifacts/{name}", self.artifact),
                web.put("/bundle", self.put_bundle),
                web.put("/result", self.result),
                web.get("/receipt", self.get_receipt),
            ]
        )
        return app


class LoopThread:
    """An event loop in a thread, ended with everything on it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        self.do(_end_tasks())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


async def _end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)


@contextlib.contextmanager
def serving(app: web.Application, socket: Path | None = None) -> Iterator[str]:
    """Serve an application in a thread and give its base URL."""
    thread = LoopThread()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    thread.do(runner.setup())
    try:
        site = web.UnixSite(runner, str(socket)) if socket else web.TCPSite(runner, "127.0.0.1", 0)
        thread.do(site.start())
        address = runner.addresses[0]
        yield "http://door" if socket else f"http://{address[0]}:{address[1]}"
    finally:
        thread.do(runner.cleanup())
        thread.close()
