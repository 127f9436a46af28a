"""A TLS proxy before the real API server that goes wrong on demand.

It serves a certificate of its own and speaks to the API server as the cluster's admin. What
goes wrong is a `Fault`: asked for every request, and for every chunk of a running watch.
Runs in a thread, so that a test may block.
"""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from tests.servers.certs import Certificates

from agenttask_api.cancellation import end

START_SECONDS = 10.0
HANDSHAKE_SECONDS = 0.5
HOP_BY_HOP = {"transfer-encoding", "connection", "content-length", "content-encoding", "host"}


@dataclass
class Call:
    """A request that arrived."""

    method: str
    path: str
    watch: bool
    token: str = ""
    at: float = field(default_factory=time.monotonic)
    query: str = ""
    table: bool = False
    """Whether a table was asked for."""
    sent: int = 0
    """Bytes of the answer so far."""

    @property
    def collection(self) -> bool:
        """Whether it lists: all of a kind, without a watch."""
        return self.method == "GET" and not self.watch and self.path.endswith(KINDS)


KINDS = ("/agenttasks", "/agentclasses", "/jobs", "/pods")

Match = Callable[[Call], bool]


@dataclass(frozen=True)
class Fault:
    """What happens to requests that match."""

    match: Match
    status: int = 0
    """Answer with this status; 0 = see the others."""
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    """Take the request and never answer."""
    half: bool = False
    """Send half of the answer, then drop the connection."""
    gone: bool = False
    """Answer a watch with an ERROR event of code 410."""
    slow: float = 0.0
    """Seconds before each chunk of 16 bytes of the answer."""
    silent: bool = False
    """Forward nothing of a watch any more, neither events nor its end."""


class Proxy:
    """One proxy; `faults` may be changed at any moment."""

    def __init__(self, upstream: str, client: ssl.SSLContext, served: Certificates) -> None:
        self._upstream = upstream
        self._client = client
        self._served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._served.load_cert_chain(served.cert, served.key)
        self.faults: tuple[Fault, ...] = ()
        self.calls: list[Call] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._watches: list[web.BaseRequest] = []
        self._ended = asyncio.Event()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self._do(self._start())

    def stop(self) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    def refuse(self) -> None:
        """Stop listening and drop every connection, as a host without the program does."""
        self._do(self._close())

    def listen(self) -> None:
        """Listen again, on the same port."""
        self._do(self._listen())

    def cut_watches(self) -> None:
        """Drop all running watches, so that they are asked for again and meet the faults."""
        self._loop.call_soon_threadsafe(self._cut)

    def _do(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    async def _start(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._client, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False
        )
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._app = app
        await self._listen()

    async def _listen(self) -> None:
        # A new runner each time: one that was cleaned up cannot serve again.
        self._ended = asyncio.Event()
        handler = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(handler, shutdown_timeout=0.1)
        await self._runner.setup()
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._socket.getsockname()[1])
        self._site = web.SockSite(self._runner, self._socket, ssl_context=self._served)
        await self._site.start()

    async def _close(self) -> None:
        self._ended.set()
        # Accept nothing more before closing: asyncio (3.11) leaks a connection that it has
        # accepted and not yet given to the server when that closes.
        self._loop.remove_reader(self._socket)
        # A connection still in its TLS handshake is not the runner's yet: nobody would close it.
        await asyncio.sleep(HANDSHAKE_SECONDS)
        await self._site.stop()
        self._cut()
        await self._runner.cleanup()

    async def _stop(self) -> None:
        # Before those who wait for it are cancelled: this aborts what an API server that says
        # nothing would leave open.
        await self._session.close()
        await self._close()
        # TLS connections take a moment to say good-bye.
        await asyncio.sleep(0.3)
        await end(*(asyncio.all_tasks() - {asyncio.current_task()}))

    def _cut(self) -> None:
        for request in list(self._watches):
            if request.transport:
                request.transport.abort()

    def _fault(self, call: Call) -> Fault | None:
        return next((f for f in self.faults if f.match(call)), None)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").partition(" ")[2]
        call = Call(
            request.method,
            request.path,
            request.query.get("watch") == "true",
            token,
            query=request.query_string,
            table="as=Table" in request.headers.get("Accept", ""),
        )
        self.calls.append(call)
        fault = self._fault(call)
        if fault and fault.status:
            body = {"kind": "Status", "code": fault.status, "message": "the proxy says so"}
            return web.json_response(body, status=fault.status, headers=fault.headers)
        if fault and fault.hang:
            await self._ended.wait()
            return web.Response(status=503)
        try:
            return await self._forward(request, call, fault)
        except aiohttp.ClientConnectionError:
            # The operator, or the API server, went away in the middle.
            return web.Response(status=503)

    async def _forward(
        self, request: web.BaseRequest, call: Call, fault: Fault | None
    ) -> web.StreamResponse:
        headers = {
            k: v
            for k, v in request.headers.items()
            if k.lower() not in HOP_BY_HOP | {"authorization"}
        }
        url = f"{self._upstream}{request.raw_path}"
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read() or None
        ) as upstream:
            response = web.StreamResponse(status=upstream.status)
            for name, value in upstream.headers.items():
                if name.lower() not in HOP_BY_HOP - {"content-encoding"}:
                    response.headers[name] = value
            await response.prepare(request)
            if call.watch:
                await self._watch(request, call, upstream, response)
            else:
                body = await upstream.read()
                call.sent = len(body)
                await self._body(request, fault, body, response)
        return response

    async def _body(self, request, fault, body, response) -> None:
        if fault and fault.half:
            await response.write(body[: len(body) // 2])
            request.transport.abort()
        elif fault and fault.slow:
            for at in range(0, len(body), 16):
                await asyncio.sleep(fault.slow)
                await response.write(body[at : at + 16])
        else:
            await response.write(body)

    async def _watch(self, request, call, upstream, response) -> None:
        self._watches.append(request)
        try:
            fault = self._fault(call)
            if fault and fault.gone:
                status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
                event = {"type": "ERROR", "object": status}
                await response.write(json.dumps(event).encode() + b"\n")
                return
            async for chunk in upstream.content.iter_any():
                fault = self._fault(call)
                if fault and fault.silent:
                    await self._ended.wait()
                    return
                call.sent += len(chunk)
                await response.write(chunk)
        finally:
            self._watches.remove(request)
