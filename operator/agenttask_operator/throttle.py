"""How fast we ask the API server: as fast as it likes, and half as fast when it complains.

A token bucket whose rate falls by half at every complaint (429, 5xx, no answer) and grows a
little with every answer, as TCP does: all clients of one server come to share it evenly,
and a server that is down is asked a few times a second, however many tasks wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

MOST_PER_SECOND = 400.0
"""Well below the 600 requests that an API server works on at once by default."""
LEAST_PER_SECOND = 4.0
GROWTH = 0.5
"""Requests a second that each answer adds: from least to most in about 800 answers."""
HALVING_SECONDS = 1.0
"""One overload fails many requests at once; it counts once."""


class Throttle:
    """A token bucket; `take` waits for a token."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self.rate = MOST_PER_SECOND
        self._tokens = MOST_PER_SECOND
        self._filled = clock()
        self._halved = float("-inf")

    async def take(self) -> None:
        """Wait until another request may be sent."""
        self._fill()
        self._tokens -= 1.0
        if self._tokens < 0:
            # Tokens below zero are the line of those who wait: each waits for its own.
            await self._sleep(-self._tokens / self.rate)

    def answered(self) -> None:
        """The server did what it was asked."""
        self._fill()
        self.rate = min(MOST_PER_SECOND, self.rate + GROWTH)

    def complained(self) -> None:
        """The server was overloaded, or gave no answer."""
        self._fill()
        if self._clock() - self._halved < HALVING_SECONDS:
            return
        self._halved = self._clock()
        self.rate = max(LEAST_PER_SECOND, self.rate / 2)
        self._tokens = min(self._tokens, self.rate)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self.rate, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
