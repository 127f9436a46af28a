"""HTTP over a unix socket: how the door and the verifier's door are opened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

_CLOSE_SECONDS = 0.2
_LINGER_SECONDS = 1.0
"""How long the rest of a refused body is still read, so that the refusal arrives."""


@asynccontextmanager
async def listen(app: web.Application, socket: Path) -> AsyncIterator[None]:
    """Serve the application on the socket; handlers are cancelled when their client goes.

    Everybody who sees the socket may connect: the volume decides who sees it.
    """
    _remove(socket)
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_CLOSE_SECONDS,
        lingering_time=_LINGER_SECONDS,
    )
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        _open_to_all(socket)
        yield
    finally:
        await runner.cleanup()
        _remove(socket)


def _open_to_all(socket: Path) -> None:
    socket.chmod(0o666)


def _remove(socket: Path) -> None:
    socket.unlink(missing_ok=True)
