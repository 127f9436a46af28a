"""Events for people, created when there is nothing better to do: no Job is late for one.

As client-go's recorder: taken at once, created in the background, and dropped rather than
kept without bound. An Event's name is made from what it tells, so a second try does no harm.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable

from agenttask_operator.errors import ClusterError, Unavailable
from agenttask_operator.kinds import Object

log = logging.getLogger(__name__)

MOST_WAITING = 5000
"""An Event is about 2 KB here, so 10 MB; client-go's broadcaster keeps 1,000 for each watcher."""
PATIENCE_SECONDS = 10.0
"""How long an Event makes room for other work."""
LOOK_SECONDS = 0.1
RETRY_SECONDS = 5.0
FLUSH_SECONDS = 2.0
"""How long the end of the process waits for what was not created yet."""


class Announcer:
    """Creates Events one after the other."""

    def __init__(
        self,
        create: Callable[[Object], Awaitable[None]],
        may_act: Callable[[], bool],
        busy: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._create = create
        self._may_act = may_act
        self._busy = busy
        self._clock = clock
        self._sleep = sleep
        self._waiting: deque[tuple[float, Object]] = deque()
        self._arrived = asyncio.Event()
        self.dropped = 0
        """How many found no room."""

    def __len__(self) -> int:
        return len(self._waiting)

    async def take(self, event: Object) -> None:
        """Take an Event to create; it costs no time."""
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append((self._clock(), event))
        self._arrived.set()

    async def run(self) -> None:
        """Create what was taken, for ever."""
        while True:
            await self._arrived.wait()
            await self._make_room()
            if not await self._create_first():
                await self._sleep(RETRY_SECONDS)

    async def flush(self) -> None:
        """Create what is left, as far as it goes quickly."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                while self._waiting and await self._create_first():
                    pass
        except TimeoutError:
            log.warning("%d Events were not created", len(self._waiting))

    async def _make_room(self) -> None:
        """Wait while other work is due; bounded, since with 10,000 tasks there always is some."""
        while self._busy() and self._clock() - self._waiting[0][0] < PATIENCE_SECONDS:
            await self._sleep(LOOK_SECONDS)

    async def _create_first(self) -> bool:
        """Say whether the next one may follow at once."""
        if not self._may_act():
            return False
        event = self._waiting[0][1]
        try:
            await self._create(event)
        except Unavailable:
            return False
        except ClusterError as error:
            where = event["involvedObject"]
            extra = {"namespace": where["namespace"], "task": where["name"]}
            # Its words may quote what was sent.
            log.warning("an Event was not created: %s", type(error).__name__, extra=extra)
        self._waiting.popleft()
        if not self._waiting:
            self._arrived.clear()
        return True
