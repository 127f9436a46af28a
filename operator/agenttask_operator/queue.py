"""A queue of keys: each key at most once in it, and at most one worker on a key.

As client-go's: a key added while it is being worked on is due again afterwards, so
no change is lost and none is handled twice at the same time. Namespaces take turns, so
that one with five thousand keys delays no other by more than its own turn. Failures come
back later and later, with jitter, so that a broken object costs next to nothing.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from agenttask_operator.observed import Key

BACKOFF_FIRST_SECONDS = 0.2
BACKOFF_LAST_SECONDS = 300.0
REFUSED_FIRST_SECONDS = 10.0
REFUSED_LAST_SECONDS = 30.0
REFUSED_PER_SECOND = 10.0
"""A right that is given back is noticed within half a minute, unless the tasks that wait for it
are so many that together they would ask more often than this."""


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Call it off."""


Schedule = Callable[[float, Callable[[], None]], Timer]
"""Call a function after so many seconds, as `loop.call_later` does."""


def call_later(seconds: float, function: Callable[[], None]) -> Timer:
    """Call a function later in the running loop."""
    return asyncio.get_running_loop().call_later(seconds, function)


class Turns:
    """Keys in order of arrival within their namespace; namespaces in turn."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[tuple[Key, float]]] = {}
        self._turn: deque[str] = deque()

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def push(self, key: Key, now: float) -> None:
        """Put the key behind the others of its namespace."""
        if key.namespace not in self._lanes:
            self._lanes[key.namespace] = deque()
            self._turn.append(key.namespace)
        self._lanes[key.namespace].append((key, now))

    def pop(self) -> Key:
        """Take the first key of the namespace whose turn it is; raises IndexError if none."""
        namespace = self._turn.popleft()
        lane = self._lanes[namespace]
        key = lane.popleft()[0]
        if lane:
            self._turn.append(namespace)
        else:
            del self._lanes[namespace]
        return key

    def oldest(self) -> float | None:
        """Return when the key arrived that waits longest; None = none waits."""
        return min((lane[0][1] for lane in self._lanes.values()), default=None)


class WorkQueue:
    """Keys that are due now, and keys that will be."""

    def __init__(
        self,
        schedule: Schedule = call_later,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._schedule = schedule
        self._clock = clock
        self._jitter = jitter
        self._ready = Turns()
        self._dirty: set[Key] = set()
        self._processing: set[Key] = set()
        self._later: dict[Key, tuple[float, Timer]] = {}
        self._failures: dict[Key, int] = {}
        self._wakeup = asyncio.Semaphore(0)
        self._last_done = clock()

    def __len__(self) -> int:
        return len(self._ready)

    def age(self) -> float:
        """Return for how many seconds the oldest due key has waited; 0 = none waits."""
        oldest = self._ready.oldest()
        return 0.0 if oldest is None else self._clock() - oldest

    def quiet(self) -> float:
        """Return for how many seconds no worker has given a key back."""
        return self._clock() - self._last_done

    def add(self, key: Key) -> None:
        """Make the key due now; once is enough however often it is added."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._push(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Make the key due in so many seconds, or sooner if it was to be sooner."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock() + seconds
        planned = self._later.get(key)
        if planned and planned[0] <= due:
            return
        if planned:
            planned[1].cancel()
        self._later[key] = (due, self._schedule(seconds, lambda: self._arrive(key)))

    def add_failed(
        self, key: Key, at_least: float = 0.0, at_most: float = BACKOFF_LAST_SECONDS
    ) -> float:
        """Make the key due after its next backoff; return the seconds until then."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        ceiling: float = min(BACKOFF_FIRST_SECONDS * 2 ** min(failures, 20), BACKOFF_LAST_SECONDS)
        ceiling = min(ceiling, at_most)
        delay = max(at_least, ceiling * (0.5 + self._jitter() / 2))
        self.add_after(key, delay)
        return delay

    def add_refused(self, key: Key) -> float:
        """Make a key due again of which the API server wants nothing; return the seconds."""
        most = max(REFUSED_LAST_SECONDS, len(self._failures) / REFUSED_PER_SECOND)
        return self.add_failed(key, REFUSED_FIRST_SECONDS, most)

    def forgive(self, key: Key) -> None:
        """Forget the failures of a key that went well."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop what was planned for a key whose object is gone."""
        self._failures.pop(key, None)
        planned = self._later.pop(key, None)
        if planned:
            planned[1].cancel()

    async def get(self) -> Key:
        """Wait for a due key and take it; `done` must follow."""
        await self._wakeup.acquire()
        key = self._ready.pop()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: Key) -> None:
        """Give the key back; it is due again if it was added meanwhile."""
        self._processing.discard(key)
        self._last_done = self._clock()
        if key in self._dirty:
            self._push(key)

    def _push(self, key: Key) -> None:
        self._ready.push(key, self._clock())
        self._wakeup.release()

    def _arrive(self, key: Key) -> None:
        self._later.pop(key, None)
        self.add(key)
