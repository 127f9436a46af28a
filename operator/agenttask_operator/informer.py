"""List and watch one kind, for ever.

Whatever breaks the watch (its end, silence, 410, a dropped connection, an error in
the stream), the answer is the same: list again from scratch and tell the caller the
whole truth, so that deletions that nobody saw are seen. Nothing ends the process.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from agenttask_operator.cluster import Page
from agenttask_operator.errors import ClusterError, Unavailable
from agenttask_operator.kinds import Kind, Object

log = logging.getLogger(__name__)

BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_LAST_SECONDS = 10.0
"""A picture that is older than this without need makes tasks wait for their end."""


class Source(Protocol):
    """The part of the cluster that an informer needs."""

    def pages(self, kind: Kind, namespace: str = "") -> AsyncIterator[Page]:
        """Yield all objects."""

    def watch(
        self, kind: Kind, resource_version: str, namespace: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        """Yield changes."""


@dataclass(frozen=True)
class Listener:
    """What to do with what was learned."""

    replace: Callable[[list[Any], str], None]
    """This is everything there was, as read, as of that resourceVersion."""
    changed: Callable[[Object], None]
    """This object was added or modified."""
    deleted: Callable[[Object], None]
    """This object is gone (or selected no more); these were its last contents."""
    read: Callable[[Object], Any] = lambda obj: obj
    """What to keep of an object of a list while the rest of the list is read."""


class Informer:
    """Keeps a listener informed of one kind in one namespace, or in all."""

    def __init__(
        self,
        source: Source,
        kind: Kind,
        namespace: str,
        listener: Listener,
        pause: float = BACKOFF_FIRST_SECONDS,
    ) -> None:
        self._source = source
        self._kind = kind
        self._namespace = namespace
        self._listener = listener
        self._pause = pause
        self._failures = 0
        self.synced = asyncio.Event()
        """Set once everything was listed for the first time."""
        self.name = f"{kind.name} in {namespace}" if namespace else kind.name
        self.last_heard = 0.0
        """Loop time of the last sign of life from the API server; 0 = never."""
        self.last_tried = 0.0
        """Loop time at which we last heard it or asked for it."""

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                await self._list_and_watch()
            except ClusterError as error:
                # Also when it is only too old: a server that says so every time would be
                # asked for everything without a pause.
                await self._back_off(error)
            except Exception:
                log.exception("%s: the informer failed, starting again", self.name)
                await self._back_off(None)

    async def resync(self) -> None:
        """List again beside the watch, to repair what it lost without noticing."""
        await self._list()

    async def _list_and_watch(self) -> None:
        version = await self._list()
        self.synced.set()
        while True:
            version = await self._watch(version)

    async def _list(self) -> str:
        self.last_tried = asyncio.get_running_loop().time()
        items: list[Any] = []
        version = ""
        async for page in self._source.pages(self._kind, self._namespace):
            items += [self._listener.read(item) for item in page.items]
            version = page.resource_version
        self._listener.replace(items, version)
        self._heard()
        return version

    async def _watch(self, version: str) -> str:
        """Return the version to go on from when the server ended the watch in good order."""
        self.last_tried = asyncio.get_running_loop().time()
        async for type_, obj in self._source.watch(self._kind, version, self._namespace):
            self._heard()
            self._failures = 0
            version = obj["metadata"]["resourceVersion"]
            if type_ == "DELETED":
                self._listener.deleted(obj)
            elif type_ != "BOOKMARK":
                self._listener.changed(obj)
        return version

    async def _back_off(self, error: ClusterError | None) -> None:
        ceiling = min(self._pause * 2 ** min(self._failures, 10), BACKOFF_LAST_SECONDS)
        asked = error.retry_after if isinstance(error, Unavailable) else 0.0
        delay = max(asked, ceiling * (0.5 + random.random() / 2))
        self._failures += 1
        if error:
            log.warning("%s: %s; listing again in %.1f s", self.name, error, delay)
        await asyncio.sleep(delay)

    def _heard(self) -> None:
        self.last_heard = self.last_tried = asyncio.get_running_loop().time()
