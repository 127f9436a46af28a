"""Ends of runs whose task was deleted before NATS had them: they wait in memory until it has.

Their usual place, the task's status, is gone. Repeats are harmless: message ids are fixed. What
an operator that is killed meanwhile had here is lost; consumers see no end of such a run.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from agenttask_operator.actions import Publish

log = logging.getLogger(__name__)

MAX_ENDS = 1000
MAX_BYTES = 16 * 1024 * 1024
"""Of their messages; the oldest ends make room, and are counted."""
RETRY_SECONDS = 5.0

Send = Callable[[Publish], Awaitable[bool]]
"""Say whether NATS has the end, ledger included."""


class Orphans:
    """The ends, oldest first."""

    def __init__(self) -> None:
        self._ends: dict[str, Publish] = {}
        self._bytes = 0
        self._some = asyncio.Event()
        self.dropped = 0
        """Ends that found no room."""

    def __len__(self) -> int:
        return len(self._ends)

    def keep(self, ends: Iterable[Publish]) -> None:
        """Take over what a deleted task leaves."""
        for end in ends:
            self._remove(end.terminal_id)
            self._ends[end.terminal_id] = end
            self._bytes += _size(end)
        while len(self._ends) > MAX_ENDS or self._bytes > MAX_BYTES:
            oldest = next(iter(self._ends))
            self._remove(oldest)
            self.dropped += 1
            log.error("NATS never got the end of a run whose task is deleted: %s", oldest)
        if self._ends:
            self._some.set()

    async def send_for_ever(self, send: Send) -> None:
        """Send whatever comes, again and again until NATS has it."""
        while True:
            await self._some.wait()
            if not await self.send_all(send):
                await asyncio.sleep(RETRY_SECONDS)

    async def send_all(self, send: Send) -> bool:
        """Say whether all have gone; the first that NATS does not take does not hold up others."""
        for end in tuple(self._ends.values()):
            if await send(end) and self._ends.get(end.terminal_id) is end:
                self._remove(end.terminal_id)
        if not self._ends:
            self._some.clear()
        return not self._ends

    def _remove(self, terminal_id: str) -> None:
        if end := self._ends.pop(terminal_id, None):
            self._bytes -= _size(end)


def _size(end: Publish) -> int:
    return sum(len(m.payload) for m in end.messages)
