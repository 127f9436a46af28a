"""End asyncio tasks, also those that lose a cancellation."""

import asyncio
from typing import Any

AGAIN_SECONDS = 0.2


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until all of them are done; what they return or raise is dropped.

    Once is not enough: before Python 3.12 `asyncio.wait_for` loses a cancellation that comes in
    the very moment in which its future is done (python/cpython gh-86296), and nats-py waits so
    for every line of a server.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
