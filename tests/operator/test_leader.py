"""The Lease: who may act, and until when."""

import asyncio
from typing import Any

import pytest

from agenttask_operator.errors import Conflict, NotFound, Unavailable
from agenttask_operator.leader import LEASE_SECONDS, RENEW_SECONDS, Lock, lead


class Leases:
    """One Lease in a dictionary, as the API server keeps it."""

    def __init__(self):
        self.lease: Any = None
        self.version = 0
        self.down = False
        self.hang = False

    async def get(self, _kind, name, _namespace=""):
        await self._arrive()
        if self.lease is None:
            raise NotFound(name)
        return self.lease

    async def create(self, _kind, manifest):
        await self._arrive()
        if self.lease is not None:
            raise Conflict("exists")
        return self._store(manifest)

    async def replace(self, _kind, obj):
        await self._arrive()
        if obj["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("newer")
        return self._store(obj)

    async def _arrive(self):
        if self.down:
            raise Unavailable("refused")
        if self.hang:
            await asyncio.Event().wait()

    def _store(self, obj):
        self.version += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**obj, "metadata": metadata}
        return self.lease


class Candidate:
    """A process that takes part in the election, with a clock of its own."""

    def __init__(self, leases, name):
        self.now = 0.0
        self.lock = Lock(leases, "system", name, lambda: self.now)
        self.started = asyncio.Event()
        self.election = asyncio.create_task(lead(self.lock, self.start))

    async def start(self):
        self.started.set()

    async def stop(self):
        self.election.cancel()
        await asyncio.gather(self.election, return_exceptions=True)


@pytest.fixture
async def leases():
    return Leases()


@pytest.fixture
async def join(leases):
    joined = []

    def make(name):
        joined.append(Candidate(leases, name))
        return joined[-1]

    yield make
    for candidate in joined:
        await candidate.stop()


async def within(awaitable):
    async with asyncio.timeout(20):
        return await awaitable


async def test_first_one_leads_and_second_one_waits(leases, join):
    one = join("one")
    await within(one.started.wait())
    two = join("two")
    await asyncio.sleep(0.1)
    assert one.lock.held()
    assert not two.started.is_set()
    assert leases.lease["spec"]["holderIdentity"] == "one"


async def test_holder_may_not_act_once_it_could_have_been_replaced(join):
    one = join("one")
    await within(one.started.wait())
    one.now = RENEW_SECONDS + 0.1
    assert not one.lock.held()
    assert RENEW_SECONDS < LEASE_SECONDS


async def test_election_ends_for_one_that_was_replaced_while_it_stood_still(leases, join):
    one = join("one")
    await within(one.started.wait())
    leases.lease["spec"]["holderIdentity"] = "two"
    await within(one.election)
    assert not one.lock.held()


async def test_election_ends_when_the_server_does_not_answer_in_time(leases, join):
    one = join("one")
    await within(one.started.wait())
    leases.hang = True
    one.now = RENEW_SECONDS + 0.1
    await within(one.election)


async def test_server_that_is_away_ends_no_candidate(leases, join):
    leases.down = True
    one = join("one")
    await asyncio.sleep(0.1)
    leases.down = False
    await within(one.started.wait())


async def test_released_lease_is_taken_without_waiting_for_its_end(leases, join):
    one = join("one")
    await within(one.started.wait())
    await one.stop()
    await one.lock.release()
    assert not one.lock.held()
    two = join("two")
    await within(two.started.wait())
    assert leases.lease["spec"]["leaseTransitions"] == 1
