"""`/healthz`, `/readyz` and `/metrics`: what the kubelet and Prometheus ask."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

Check = Callable[[], str]
"""Says what is wrong; empty = nothing."""


class WebServer:
    """Serves the three paths on one port."""

    def __init__(self, live: Check, ready: Check, metrics: Callable[[], bytes]) -> None:
        self._checks = {"/healthz": live, "/readyz": ready}
        self._read = metrics
        app = web.Application()
        for path in self._checks:
            app.router.add_get(path, self._check)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, host: str, port: int) -> int:
        """Begin to serve and return the port; 0 picks a free one. Raises OSError."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    async def _check(self, request: web.Request) -> web.Response:
        wrong = self._checks[request.path]()
        return web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._read(), headers={"Content-Type": CONTENT_TYPE_LATEST})
