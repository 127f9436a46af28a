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
from tests.operator.taskwatches import told

from agenttask_operator.cache import Cache
from agenttask_operator.informer import Listener
from agenttask_operator.kinds import CLASSES, JOBS, PODS, ROSTER, TASKS, UNFINISHED, Kind
from agenttask_operator.listeners import job_listener, pod_listener
from agenttask_operator.news import News
from agenttask_operator.queue import WorkQueue
from agenttask_operator.reconcile import Reconciler
from agenttask_operator.roster import Roster
from agenttask_operator.turns import Limits
from agenttask_operator.turnstile import Turnstile

MOST_ROUNDS = 100
"""Reconciles in one moment; more of them are a hot loop."""


def watches_of(change: Change) -> tuple[Kind, ...]:
    """Return the watches that may tell of the change."""
    return (UNFINISHED, ROSTER) if change.kind is TASKS else (change.kind,)


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
        self.news = News(cluster, self.cache, self.queue)
        roster = Roster(self.cache, self.queue, self.reconciler, bool(post))
        self._listeners: dict[Kind, Listener] = {
            JOBS: job_listener(self.cache, self.queue),
            PODS: pod_listener(self.cache, self.queue),
            UNFINISHED: roster.unfinished(),
            ROSTER: roster.lines(),
        }
        self._seen = 0
        self._held: list[tuple[Kind, Change]] = []
        self.frozen = ""
        """The watch that says nothing for now."""
        self.lost: tuple[str, int] = ("", -1)
        """The watch and the number of the change that it never tells."""

    async def resync(self) -> None:
        """List everything, as at the start and every few minutes."""
        self._seen, self._held = len(self.cluster.journal), []
        await self.news.list_classes()
        for kind, listener in self._listeners.items():
            await self._list(kind, listener)

    async def _list(self, kind: Kind, listener: Listener) -> None:
        items, version = [], ""
        async for page in self.cluster.pages(kind):
            items += [listener.read(item) for item in page.items]
            version = page.resource_version
        listener.replace(items, version)

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
        for watch, change in news:
            if watch.name == self.frozen:
                self._held.append((watch, change))
            else:
                self._hear(watch, change)

    def _unheard(self) -> list[tuple[Kind, Change]]:
        journal = self.cluster.journal
        first, self._seen = self._seen, len(journal)
        return [
            (watch, change)
            for number, change in enumerate(journal[first : self._seen], first)
            for watch in watches_of(change)
            if (watch.name, number) != self.lost
        ]

    def _hear(self, watch: Kind, change: Change) -> None:
        event = told(watch, change.type, change.object, change.before)
        if not event:
            return
        if watch is CLASSES:
            self.news.class_(*event)
        elif event[0] == "DELETED":
            self._listeners[watch].deleted(event[1])
        else:
            self._listeners[watch].changed(event[1])

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
