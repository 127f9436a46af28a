"""Asks model endpoints how they are, and tells it: to the turnstile, and in the classes' status."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import aiohttp

from agenttask_operator.cache import Cache
from agenttask_operator.classstatus import NO_WALL, NatsState, Wall, class_status
from agenttask_operator.cluster import Cluster
from agenttask_operator.errors import ClusterError
from agenttask_operator.kinds import CLASSES
from agenttask_operator.models import PROBE_SECONDS, Health, closed, probe
from agenttask_operator.observed import AgentClass, parse_class
from agenttask_operator.status import difference
from agenttask_operator.turnstile import Turnstile

log = logging.getLogger(__name__)

STATUS_SECONDS = 5.0
"""How often the classes' status is looked at: their load changes with every task."""


class ClassKeeper:
    """Keeps the classes' status, and what is known of their endpoints."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        turnstile: Turnstile,
        may_act: Callable[[], bool],
        clock: Callable[[], datetime],
        wall: Wall = NO_WALL,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._turnstile = turnstile
        self._may_act = may_act
        self._clock = clock
        self._wall = wall
        self.ask_nats: Callable[[], NatsState | None] = lambda: None
        """Says how NATS is; None = there is none."""
        self.healths: dict[str, Health] = {}

    async def probe_for_ever(self, seconds: float) -> None:
        """Ask every endpoint, again and again; failures are asked about again at once."""
        limits = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        async with aiohttp.ClientSession(timeout=limits) as session:
            while True:
                await self.probe(session)
                doubtful = any(h.failures == 1 for h in self.healths.values())
                await asyncio.sleep(min(1.0, seconds) if doubtful else seconds)

    async def probe(self, session: aiohttp.ClientSession) -> None:
        """Ask every endpoint once, all at the same time."""
        classes = self._cache.classes.values()
        endpoints = sorted({c.spec.model.endpoint for c in classes if c.spec})
        found = await asyncio.gather(
            *(probe(session, e, self.healths.get(e, Health())) for e in endpoints)
        )
        self.healths = dict(zip(endpoints, found, strict=True))
        self._turnstile.close(closed(self.healths))

    async def write_for_ever(self) -> None:
        """Write every class's status whenever it has changed."""
        while True:
            await self.write()
            await asyncio.sleep(STATUS_SECONDS)

    async def write(self) -> None:
        """Write what has changed; what fails is tried again the next time."""
        running, queued = self._turnstile.running(), self._turnstile.queued()
        for class_ in list(self._cache.classes.values()):
            name = class_.name
            try:
                await self._write(class_, running[name], queued[name])
            except ClusterError as error:
                log.warning("class %s: status not written: %s", name, type(error).__name__)

    async def _write(self, class_: AgentClass, running: int, queued: int) -> None:
        endpoint = class_.spec.model.endpoint if class_.spec else ""
        health = self.healths.get(endpoint, Health())
        status = class_status(
            class_, health, running, queued, self._clock(), self._wall, self.ask_nats()
        )
        patch = difference(class_.raw_status, status.to_api())
        if not patch or not self._may_act():
            return
        stored = await self._cluster.patch_status(
            CLASSES, "", class_.name, class_.resource_version, patch
        )
        self._cache.classes[class_.name] = parse_class(stored)
