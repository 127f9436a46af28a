"""The courier's side of `drain`: who connects says that the pod is ending."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path


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
