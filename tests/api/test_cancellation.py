"""A task ends although it loses a cancellation."""

import asyncio

from agenttask_api.cancellation import end

LIMIT_SECONDS = 10


async def unlucky(begun: asyncio.Event) -> None:
    """Lose the first cancellation, as `asyncio.wait_for` does when its future is just done."""
    begun.set()
    try:
        await asyncio.sleep(LIMIT_SECONDS * 10)
    except asyncio.CancelledError:
        await asyncio.sleep(LIMIT_SECONDS * 10)


async def failing() -> None:
    raise ValueError("of no interest any more")


async def test_a_lost_cancellation_is_repeated():
    begun = asyncio.Event()
    task = asyncio.create_task(unlucky(begun))
    await begun.wait()
    await asyncio.wait_for(end(task), LIMIT_SECONDS)
    assert task.cancelled()


async def test_what_a_task_raised_is_dropped():
    task = asyncio.create_task(failing())
    await asyncio.wait({task})
    await end(task)
    assert task.done()


async def test_nothing_to_end_is_no_wait():
    ending = asyncio.create_task(end())
    await asyncio.wait({ending}, timeout=LIMIT_SECONDS)
    assert ending.done()
