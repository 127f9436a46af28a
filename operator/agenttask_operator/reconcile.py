"""Bring one task's world in line with its spec: gather facts, plan, act, and again.

The loop ends when the plan has nothing more to do now.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from agenttask_operator.act import Actor, Publisher, Recorder
from agenttask_operator.actions import Action, CreateJob
from agenttask_operator.cache import Cache
from agenttask_operator.cluster import Cluster
from agenttask_operator.errors import NotFound
from agenttask_operator.facts import Defaults, Facts
from agenttask_operator.gather import Book, Gatherer, Results
from agenttask_operator.kinds import TASKS
from agenttask_operator.memory import Memories
from agenttask_operator.observed import Key, Task, parse_task
from agenttask_operator.planner import plan
from agenttask_operator.queue import WorkQueue
from agenttask_operator.status import is_final
from agenttask_operator.turnstile import Turnstile

log = logging.getLogger(__name__)

MAX_ROUNDS = 8
"""Plans in one reconcile; a task needs four at most, so more of them are a fault."""


class Post(Publisher, Results, Protocol):
    """The part of the outbox that a reconcile needs; absent when there is no NATS."""


class Ledger(Book, Recorder, Protocol):
    """The part of the run-once ledger that a reconcile needs; absent when there is no NATS."""


class Reconciler:
    """Works on one task at a time per worker; the queue keeps workers apart."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        queue: WorkQueue,
        post: Post | None,
        defaults: Defaults,
        clock: Callable[[], datetime],
        turnstile: Turnstile | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._cluster = cluster
        self._turnstile = turnstile
        self._cache = cache
        self._queue = queue
        self._clock = clock
        self.memories = Memories()
        self._gatherer = Gatherer(cluster, cache, self.memories, post, defaults, clock, ledger)
        self.actor = Actor(cluster, cache, queue, self.memories, post, clock, ledger)

    async def reconcile(self, key: Key) -> None:
        """Do what is due for one task; raises ClusterError when that must wait."""
        await self._look(key)
        for _ in range(MAX_ROUNDS):
            facts = await self._gatherer.gather(key)
            if facts is None:
                self._forget(key)
                return
            actions = self._plan(facts)
            if not actions and self._is_done(facts.task):
                self._finish(facts.task)
                return
            if not await self.actor.act(facts.task, actions):
                return
        log.error(
            "a task does not come to rest", extra={"namespace": key.namespace, "task": key.name}
        )
        self._queue.add_after(key, 30.0)

    async def _look(self, key: Key) -> None:
        """Read a task of which a watch said less than all: it may have changed, ended or gone.

        What a watch brings meanwhile is newer than the answer, and decides.
        """
        if not self._cache.in_doubt(key):
            return
        known = self._cache.tasks.get(key)
        try:
            found = parse_task(await self._cluster.get(TASKS, key.name, key.namespace), known)
        except NotFound:
            found = None
        if self._cache.tasks.get(key) is not known:
            return
        if found:
            self._cache.take_task(found)
        else:
            self.forget(key)

    def _plan(self, facts: Facts) -> tuple[Action, ...]:
        """Plan; one who would start a run is asked whether it is his turn."""
        actions, key = plan(facts, self._clock()), facts.task.key
        if not self._turnstile:
            return actions
        if not any(isinstance(a, CreateJob) for a in actions):
            self._turnstile.leave(key)
            return actions
        turn = self._turnstile.ask(facts.task)
        return actions if turn.admitted else plan(replace(facts, turn=turn), self._clock())

    def retry_publications(self) -> None:
        """Try again at once whatever NATS did not take or say."""
        for key, memory in self.memories.items():
            failed = [i for i, p in memory.publications.items() if not p.done]
            for identifier in failed:
                del memory.publications[identifier]
            held = memory.recorded and not memory.recorded[1].reachable
            if failed or held:
                self._queue.add(key)

    def wake_waiters(self, ended: Key) -> None:
        """Look again at the tasks that wait for one that has ended."""
        for key in self._gatherer.waiters.release(ended):
            self._queue.add(key)

    async def send_orphans(self) -> None:
        """Tell NATS, for ever, what deleted tasks left untold."""
        await self.memories.orphans.send_for_ever(self.actor.tell)

    def forget(self, key: Key) -> None:
        """Forget a task that is deleted."""
        self._cache.drop_task(key)
        self._forget(key)

    def _is_done(self, task: Task) -> bool:
        return is_final(task.status) and task.status.observed_generation == task.generation

    def _finish(self, task: Task) -> None:
        self._cache.finish_task(task)
        self._forget(task.key)

    def _forget(self, key: Key) -> None:
        self.memories.drop(key)
        self._queue.forget(key)
        if self._turnstile:
            self._turnstile.leave(key)
