"""A share of the time for a question that costs the API server much, however many ask it.

The API server keeps no index of Events: to find those of one object it reads all of the
namespace, which takes seconds where ten thousand tasks have left theirs. The slower it answers,
the more tasks wait for a pod, and the more would ask.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

SHARE = 0.2
"""Of the time, that such questions may take together."""
PATIENCE_SECONDS = 1.0
"""How long one waits for its turn; whoever would wait longer does without the answer."""

T = TypeVar("T")


class Ration:
    """Gives turns one after the other, as far apart as the last answers were slow."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._free = float("-inf")
        """When the next turn begins."""
        self._took = 0.0

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """Return the answer; None = it was not this one's turn. Raises what the question does."""
        now = self._clock()
        turn = max(now, self._free)
        if turn - now > PATIENCE_SECONDS:
            return None
        self._free = turn + self._took / SHARE
        if turn > now:
            await self._sleep(turn - now)
        return await self._timed(question)

    async def _timed(self, question: Callable[[], Awaitable[T]]) -> T:
        begun = self._clock()
        try:
            return await question()
        finally:
            self._took = self._clock() - begun
            self._free = max(self._free, begun + self._took / SHARE)
