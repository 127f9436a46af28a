"""An operator process that knows what its watches tell it, and works when it is woken.

The real queue, turnstile, listeners and news, on a clock that the test moves. A watch can
be frozen, so that its events come late, and one event can be lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.operator.builders import DEFAULTS, NOW, WITH_NATS
from tests.operator.fakecluster import Change

from agenttask_operator.cache import Cache
from agenttask_operator.cluster import CLASSES, JOBS, PODS, TASKS
from agenttask_operator.listeners import job_listener, pod_listener
from agenttask_operator.news import News
from agenttask_operator.queue import WorkQueue
from agenttask_operator.reconcile import Reconciler
from agenttask_operator.turns import Limits
from agenttask_operator.turnstile import Turnstile

MOST_ROUNDS = 100
"""Reconciles in one moment; more of them are a hot loop."""


@dataclass
class Timer:
    """A call that is still to come."""

    due: float
    function: Callable[[], None]
    off: bool = False

    def cancel(self) -> None:
        self.off = True


class Watching:
    """One operator process: what it remembers dies with it."""

    def __init__(
        self,
        cluster: Any,
        post: Any = None,
        limits: Limits | None = None,
        rounds: int = MOST_ROUNDS,
        ledger: Any = None,
    ):
        self.cluster, self.now, self._rounds = cluster, NOW, rounds
        self.cache = Cache()
        self._timers: list[Timer] = []
        self.queue = WorkQueue(self._schedule, self._seconds, lambda: 0.0)
        turnstile = Turnstile(
            self.cache, limits or Limits(), self.queue.add, self._schedule, self._seconds
        )
        defaults = WITH_NATS if post else DEFAULTS
        self.reconciler = Reconciler(
            cluster, self.cache, self.queue, post, defaults, lambda: self.now, turnstile, ledger
        )
        self.news = News(cluster, self.cache, self.queue, self.reconciler, bool(post))
        self._listeners = {
            JOBS.plural: job_listener(self.cache, self.queue),
            PODS.plural: pod_listener(self.cache, self.queue),
        }
        self._seen = 0
        self._held: list[Change] = []
        self.frozen = ""
        """The kind whose watch says nothing for now."""
        self.lost = -1
        """The number of the event that never comes."""

    async def resync(self) -> None:
        """List everything, as at the start and every few minutes."""
        self._seen, self._held = len(self.cluster.journal), []
        await self.news.list_classes()
        for kind in (JOBS, PODS):
            listener = self._listeners[kind.plural]
            listener.replace(self.cluster.all(kind), self.cluster.version)
        await self.news.list_tasks("")

    async def work(self, seconds: float = 0.0) -> None:
        """Let so many seconds pass, hear what there is to hear, and do what is due."""
        self.now += timedelta(seconds=seconds)
        self._listen()
        for _ in range(self._rounds):
            self._ring()
            if not len(self.queue):
                return
            key = await self.queue.get()
            try:
                await self.reconciler.reconcile(key)
            finally:
                self.queue.done(key)
        raise AssertionError("the queue does not come to rest")

    def _listen(self) -> None:
        news, self._held = [*self._held, *self._unheard()], []
        for change in news:
            if change.kind.plural == self.frozen:
                self._held.append(change)
            else:
                self._hear(change)

    def _unheard(self) -> list[Change]:
        journal = self.cluster.journal
        first, self._seen = self._seen, len(journal)
        numbered = enumerate(journal[first : self._seen], first)
        return [change for number, change in numbered if number != self.lost]

    def _hear(self, change: Change) -> None:
        if change.kind in (TASKS, CLASSES):
            take = self.news.task if change.kind is TASKS else self.news.class_
            take(change.type, change.object)
        else:
            listener = self._listeners[change.kind.plural]
            take_it = listener.deleted if change.type == "DELETED" else listener.changed
            take_it(change.object)

    def _schedule(self, seconds: float, function: Callable[[], None]) -> Timer:
        timer = Timer(self._seconds() + seconds, function)
        self._timers.append(timer)
        return timer

    def _ring(self) -> None:
        due = [t for t in self._timers if t.due <= self._seconds()]
        self._timers = [t for t in self._timers if t.due > self._seconds()]
        for timer in due:
            if not timer.off:
                timer.function()

    def _seconds(self) -> float:
        return self.now.timestamp()
