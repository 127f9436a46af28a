"""Which of several operators acts: the one that holds the Lease.

The election is the official client's. The lock is ours, since the
client's own waits five minutes for an answer and ends on a connection error. It also knows
until when its holder may act: a process that was stopped for half a minute must not write
in the moment before it learns that it was replaced.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from kubernetes.aio.client import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from agenttask_api.cancellation import end
from agenttask_operator.errors import ClusterError, NotFound
from agenttask_operator.kinds import LEASES, Kind

Object = dict[str, Any]

log = logging.getLogger(__name__)

LEASE_NAME = "agenttask-operator"
LEASE_SECONDS = 13
"""How long others wait after the last sign of life of the holder. client-go's 15 s, 10 s and
2 s replace a killed leader within 16.1 s (tests/perf/failover.py); we promise 16 s."""
RENEW_SECONDS = 9
"""How long the holder may act after it last renewed; less than LEASE_SECONDS, so that it has
stopped before another starts."""
RETRY_SECONDS = 1
LOOK_SECONDS = 0.5
"""How late the end of holding may be noticed; acting stops at once, without it."""
REQUEST_SECONDS = 3.0
"""A request without an answer by then has failed: several tries fit into RENEW_SECONDS."""


class Leases(Protocol):
    """The part of the cluster that the lock needs."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        """Return one object; raises NotFound."""

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """Create an object; raises Conflict."""

    async def replace(self, kind: Kind, obj: Object) -> Object:
        """Replace an object; raises Conflict."""


class Lock(BaseLock):  # type: ignore[misc]
    """A Lease, with a deadline for every request and a memory of when it was renewed."""

    def __init__(
        self,
        leases: Leases,
        namespace: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(LEASE_NAME, namespace, identity)
        self._leases = leases
        self._clock = clock
        self._renewed: float | None = None
        self._stored: Object = {}
        self._taken = False
        self._change = asyncio.Event()

    def held(self) -> bool:
        """Say whether we may act now."""
        if self._renewed is None or self._taken:
            return False
        return self._clock() - self._renewed < RENEW_SECONDS

    async def loss(self) -> None:
        """Return once we have held the Lease and do so no longer."""
        while self._renewed is None or self.held():
            self._change.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._change.wait(), LOOK_SECONDS)

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """Return (True, the Lease's record), or (False, what went wrong)."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                self._stored = await self._leases.get(LEASES, name, namespace)
        except NotFound:
            return False, ApiException(status=404, reason="absent", body=json.dumps({"code": 404}))
        except (ClusterError, TimeoutError) as error:
            return False, ApiException(reason=repr(error))
        record = _record(self._stored)
        if self._renewed is not None and record.holder_identity != self.identity:
            self._taken = True
            self._change.set()
        return True, record

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        """Create the Lease; say whether it is ours now."""
        metadata = {"name": name, "namespace": namespace}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        lease["spec"] = _spec(election_record, {})
        return await self._write(self._leases.create(LEASES, lease))

    async def update(self, _name: str, _namespace: str, updated_record: Any) -> bool:
        """Replace exactly the version that was read; say whether it is ours now."""
        spec = _spec(updated_record, self._stored.get("spec") or {})
        return await self._write(self._leases.replace(LEASES, {**self._stored, "spec": spec}))

    async def release(self) -> None:
        """Let go, so that another need not wait for the Lease to run out."""
        if not self.held():
            return
        self._renewed = None
        spec = {**self._stored["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._leases.replace(LEASES, {**self._stored, "spec": spec})
        except (ClusterError, TimeoutError) as error:
            log.warning("the Lease was not released: %r", error)

    async def _write(self, write: Awaitable[Object]) -> bool:
        begun = self._clock()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                self._stored = await write
        except (ClusterError, TimeoutError) as error:
            log.warning("the Lease was not renewed: %r", error)
            return False
        self._renewed = begun
        self._change.set()
        return True


async def lead(lock: Lock, start: Callable[[], Awaitable[None]]) -> None:
    """Wait until we lead, start the work, and return once we lead no longer.

    The caller must end the process then: only that stops for certain what is under way.
    """

    async def started() -> None:
        log.info("this process leads now")
        await start()

    config = Config(lock, LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS, started, None)
    election = asyncio.create_task(LeaderElection(config).run(), name="election")
    loss = asyncio.create_task(lock.loss(), name="lease-loss")
    try:
        await asyncio.wait({election, loss}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(election, loss)


def _record(lease: Object) -> LeaderElectionRecord:
    spec = lease.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    return LeaderElectionRecord(
        spec.get("holderIdentity") or None,
        str(duration) if duration else None,
        spec.get("acquireTime"),
        spec.get("renewTime"),
    )


def _spec(record: Any, before: Object) -> Object:
    """Return the Lease's spec; a transition is counted when the holder changes."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    ours = before.get("holderIdentity") == record.holder_identity
    changes = int(before.get("leaseTransitions") or 0)
    return {
        "holderIdentity": record.holder_identity,
        "leaseDurationSeconds": LEASE_SECONDS,
        "acquireTime": before.get("acquireTime") if ours else now,
        "renewTime": now,
        "leaseTransitions": changes if ours or not before else changes + 1,
    }
