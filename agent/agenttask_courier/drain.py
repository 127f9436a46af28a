"""`agenttask-courier drain` (preStop): tell the running courier that the pod is ending.

Both sides of a unix socket in the courier's own /tmp: connecting is the message, and
the end of the connection says that the last words are written.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from agenttask_courier.places import Places

DRAIN_SECONDS = 50.0
"""Grace period less 10 s: after the hook the courier still gets its SIGTERM."""


def drain(places: Places, seconds: float = DRAIN_SECONDS) -> int:
    """Wait until the courier has written its last words; at once when none runs."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(seconds)
        connection.connect(str(places.control_socket))
        while connection.recv(64):
            pass
    return 0


@asynccontextmanager
async def control(
    path: Path, on_ask: Callable[[], None], done: asyncio.Event
) -> AsyncIterator[None]:
    """Call `on_ask` when somebody connects, and let him go once `done` is set."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        on_ask()
        await done.wait()
        writer.close()

    _remove(path)
    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
