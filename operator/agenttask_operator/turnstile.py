"""Keeps who waits to start and who holds a place, and wakes those whose turn has come.

Where nobody waits, a task is let through by counts alone. Else the decision is
`turns.decide_turns`. It looks at all that wait, so with many of them it is made a few times
a second at most, however often it is asked for.
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
from agenttask_operator.turns import (
    Busy,
    Limits,
    Obstacle,
    Places,
    Turn,
    Waiting,
    decide_turns,
)

PAUSE_SECONDS = 0.25
"""Between two decisions while many wait; deciding about 5,000 takes about 20 ms."""
MANY = 100
RECOUNT_SECONDS = 5.0


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
        self._held: dict[Key, Busy] = {}
        """Who holds a place: let through, or with a Job at work."""
        self._places = Places()
        self._counted = float("-inf")
        self._turns: Mapping[Key, Turn] = {}
        self._closed: Mapping[str, Obstacle] = {}
        self._decided = float("-inf")
        self._timer: Timer | None = None
        cache.on_busy = self._hear

    def ask(self, task: Task) -> Turn:
        """Return the turn of a task that could start."""
        waiting = self._describe(task)
        if not waiting or task.key in self._held:
            return Turn()
        self._recount()
        if not self._waiting and not self._obstacle(waiting):
            self._hold(waiting)
            return Turn()
        if self._waiting.get(task.key) != waiting or task.key not in self._turns:
            self._waiting[task.key] = waiting
            self._decide_or_wait()
        if task.key in self._held:
            return Turn()
        unknown = Turn(Obstacle(Reason.QUEUED, "the task has just joined"), len(self._waiting))
        return self._turns.get(task.key) or unknown

    def leave(self, key: Key) -> None:
        """The task does not wait (any longer): its Job is there, or it may not start."""
        if key in self._held and key not in self._cache.busy:
            self._let_go(key)
        if self._waiting.pop(key, None):
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
        return Counter(b.class_name for b in self._held.values())

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
        self._recount()
        before = self._turns
        turns = decide_turns(self._waiting.values(), self._places, self._limits, self._closed)
        for key, turn in turns.items():
            if turn.admitted:
                self._hold(self._waiting.pop(key))
        self._turns = {k: t for k, t in turns.items() if not t.admitted}
        for key, turn in turns.items():
            if turn.admitted or _differs(before.get(key), turn):
                self._wake(key)

    def _obstacle(self, task: Waiting) -> Obstacle | None:
        return self._places.obstacle(task, self._limits, self._closed)

    def _hold(self, task: Waiting) -> None:
        self._held[task.key] = Busy(task.key, task.class_name, task.endpoint)
        self._places.take(task.key, task.endpoint)

    def _let_go(self, key: Key) -> None:
        held = self._held.pop(key)
        self._places.take(key, held.endpoint, -1)
        self.look_soon()

    def _hear(self, key: Key) -> None:
        """A task's Job began to work, or ended."""
        if key in self._cache.busy:
            if key not in self._held:
                self._held[key] = busy = self._find(key)
                self._places.take(key, busy.endpoint)
        elif key in self._held:
            self._let_go(key)

    def _recount(self) -> None:
        """Look at everybody again now and then: a Job may be known before its task or class."""
        if self._clock() - self._counted < RECOUNT_SECONDS:
            return
        self._counted = self._clock()
        found = {key: self._find(key) for key in self._cache.busy}
        self._held = {**self._held, **found}
        self._places = Places(self._held.values())

    def _find(self, key: Key) -> Busy:
        task = self._cache.tasks.get(key)
        waiting = self._describe(task) if task else None
        return Busy(key, waiting.class_name, waiting.endpoint) if waiting else Busy(key, "", "")

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
