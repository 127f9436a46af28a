"""A small API server over HTTP that lists and watches, and falls silent or hangs on demand."""

import asyncio
import json
from typing import Any

from aiohttp import web
from tests.operator.taskwatches import table

BOOKMARK_SECONDS = 0.1


class SmallApi:
    """Answers what an operator asks; nothing ever changes in it."""

    def __init__(self) -> None:
        self.items: dict[str, list[dict[str, Any]]] = {}
        """What a list shows, by plural."""
        self.silent = False
        """Whether watches stay open and say nothing."""
        self.hanging = False
        """Whether what is written is taken and never answered."""
        self.asked = 0
        self.port = 0
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._closing.clear()
        handler = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(handler, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        if request.query.get("watch") == "true":
            return await self._watch(request)
        if request.method != "GET" and self.hanging:
            await self._closing.wait()
        plural = request.path.rpartition("/")[2]
        items = self.items.get(plural, []) if request.method == "GET" else []
        if "as=Table" in request.headers["Accept"]:
            return web.json_response(table(items, "5"))
        return web.json_response({"metadata": {"resourceVersion": "5"}, "items": items})

    async def _watch(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        as_table = "as=Table" in request.headers["Accept"]
        obj = table([], "5") if as_table else {"metadata": {"resourceVersion": "5"}}
        bookmark = {"type": "BOOKMARK", "object": obj}
        while not self._closing.is_set():
            if not self.silent:
                await response.write(json.dumps(bookmark).encode() + b"\n")
            await asyncio.sleep(BOOKMARK_SECONDS)
        return response
