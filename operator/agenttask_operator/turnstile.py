"""Keeps who waits to start and who holds a place, and wakes those whose turn has come.

The decision is `turns.decide_turns`. It looks at all that wait, so with many of them it is
made a few times a second at most, however often it is asked for.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping

from agenttask_api.reasons import Reason
from agenttask_operator import admission
from agenttask_operator.admission import NoClass
from agenttask_operator.cache import Cache
from agenttask_operator.observed import Key, Task
from agenttask_operator.queue import Schedule, Timer
from agenttask_operator.turns import Busy, Limits, Obstacle, Turn, Waiting, decide_turns

PAUSE_SECONDS = 0.25
"""Between two decisions while many wait; deciding about 5,000 takes about 20 ms."""
MANY = 100


class Turnstile:
    """Lets tasks through as long as there are places."""

    def __init__(
        self,
        cache: Cache,
        limits: Limits,
        wake: Callable[[Key], None],
        schedule: Schedule,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._limits = limits
        self._wake = wake
        self._schedule = schedule
        self._clock = clock
        self._waiting: dict[Key, Waiting] = {}
        self._promised: dict[Key, Busy] = {}
        """Let through, and their Jobs not seen yet."""
        self._turns: Mapping[Key, Turn] = {}
        self._closed: Mapping[str, Obstacle] = {}
        self._decided = float("-inf")
        self._timer: Timer | None = None
        cache.on_job_end = self.look_soon

    def ask(self, task: Task) -> Turn:
        """Return the turn of a task that could start."""
        waiting = self._describe(task)
        if not waiting or task.key in self._promised:
            return Turn()
        if self._waiting.get(task.key) != waiting:
            self._waiting[task.key] = waiting
            self._decide_or_wait()
        elif task.key not in self._turns:
            self._decide_or_wait()
        if task.key in self._promised:
            return Turn()
        unknown = Turn(Obstacle(Reason.QUEUED, "the task has just joined"), len(self._waiting))
        return self._turns.get(task.key) or unknown

    def leave(self, key: Key) -> None:
        """The task does not wait (any longer): its Job is there, or it may not start."""
        if self._promised.pop(key, None) or self._waiting.pop(key, None):
            self.look_soon()

    def close(self, closed: Mapping[str, Obstacle]) -> None:
        """Take news of the endpoints that take no task now."""
        if closed != self._closed:
            self._closed = closed
            self.look_soon()

    def queued(self) -> Counter[str]:
        """Return how many tasks wait, by class."""
        return Counter(w.class_name for w in self._waiting.values())

    def running(self) -> Counter[str]:
        """Return how many tasks hold a place, by class."""
        return Counter(b.class_name for b in self._busy())

    def look_soon(self) -> None:
        """Decide again in a moment, since something may have become free."""
        if self._waiting and not self._timer:
            left = self._decided + PAUSE_SECONDS - self._clock()
            self._timer = self._schedule(max(0.01, left), self._decide)

    def _decide_or_wait(self) -> None:
        early = self._clock() - self._decided < PAUSE_SECONDS
        if early and len(self._waiting) > MANY:
            self.look_soon()
        else:
            self._decide()

    def _decide(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer, self._decided = None, self._clock()
        before = self._turns
        turns = decide_turns(self._waiting.values(), self._busy(), self._limits, self._closed)
        for key, turn in turns.items():
            if turn.admitted:
                task = self._waiting.pop(key)
                self._promised[key] = Busy(key, task.class_name, task.endpoint)
        self._turns = {k: t for k, t in turns.items() if not t.admitted}
        for key, turn in turns.items():
            if turn.admitted or _differs(before.get(key), turn):
                self._wake(key)

    def _busy(self) -> list[Busy]:
        found = {**self._promised}
        for key in self._cache.busy():
            task = self._cache.tasks.get(key)
            waiting = self._describe(task) if task else None
            if waiting:
                found[key] = Busy(key, waiting.class_name, waiting.endpoint)
        return list(found.values())

    def _describe(self, task: Task) -> Waiting | None:
        if not task.spec:
            return None
        try:
            class_ = admission.choose_class(task.spec, self._cache.classes)
        except NoClass:
            return None
        assert class_.spec is not None
        model = class_.spec.model
        return Waiting(
            task.key,
            class_.name,
            model.endpoint,
            model.max_concurrent_tasks,
            task.spec.queue.priority,
            task.created.timestamp() if task.created else 0.0,
        )


def _differs(before: Turn | None, now: Turn) -> bool:
    """Say whether people should be told: another obstacle; places are told now and then."""
    return bool(before and before.obstacle != now.obstacle)
