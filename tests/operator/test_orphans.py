"""A task that is deleted while NATS is away: its end arrives all the same, once."""

import asyncio

import pytest
from tests.operator.builders import dead, run_key, running
from tests.operator.outage import World, key_of, subjects
from tests.operator.test_outbox import message, until
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_api import names
from agenttask_api.ledger import entry_key
from agenttask_operator import orphans as orphans_module
from agenttask_operator.actions import Publish
from agenttask_operator.kinds import TASKS
from agenttask_operator.ledger import Ledger
from agenttask_operator.metrics import Gauges
from agenttask_operator.orphans import Orphans
from agenttask_operator.queue import WorkQueue


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path / "store", nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


async def ended_without_nats(world, operator, name="fix"):
    """Bring a task to an end that NATS does not hear of."""
    world.add(name)
    await operator.work(name)
    world.pod(name, running(names.AGENT), phase="Running")
    await operator.work(name)
    world.server.stop()
    await until(lambda: not operator.outbox.connected)
    world.pod(name, dead(names.AGENT, 137, reason="OOMKilled"), phase="Failed")
    world.job_ends(name, "Failed")
    await operator.work(name)
    assert world.status(name)["reason"] == "OOMKilled"


def delete(world, operator, name="fix"):
    world.cluster.objects.pop((TASKS.plural, "team", name), None)
    operator.reconciler.forget(key_of(name))


def pending(operator):
    """Return what the metrics say."""
    gauges = Gauges(operator.cache, WorkQueue(), operator.reconciler.memories)
    gauges.now = operator.now
    found = {f.name: f.samples for f in gauges.collect()}
    return found["agenttask_outbox_pending"][0].value


async def test_the_end_of_a_deleted_task_arrives_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(orphans_module, "RETRY_SECONDS", 0.1)
    world = World(server, tmp_path)
    operator = await world.operator()
    sending = asyncio.create_task(operator.reconciler.send_orphans())
    kept = operator.reconciler.memories.orphans
    try:
        await ended_without_nats(world, operator)
        delete(world, operator)
        assert len(kept) == 1
        assert operator.reconciler.memories == {}
        assert pending(operator) == 1
        server.start()
        await until(lambda: not len(kept), 20)
        found = await subjects(server)
        ledger = Ledger(operator.outbox)
        entry = (await ledger.read(entry_key("default", "team", "fix", run_key()))).entry
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await operator.outbox.close()
    assert [kind for kind, _ in found["fix"]] == ["started", "failed"]
    assert entry
    assert entry.outcome
    assert entry.outcome.reason == "OOMKilled"


async def test_an_end_that_was_on_the_way_when_its_task_went(server, tmp_path, monkeypatch):
    world = World(server, tmp_path)
    operator = await world.operator()
    kept = operator.reconciler.memories.orphans
    try:
        await ended_without_nats(world, operator)
        publish = operator.outbox.publish

        async def slow(messages):
            delete(world, operator)
            for identifier in tuple(kept._ends):
                kept._remove(identifier)
            return await publish(messages)

        monkeypatch.setattr(operator.outbox, "publish", slow)
        await operator.work("fix")
    finally:
        await operator.outbox.close()
    assert len(kept) == 1


def end(number, size=2):
    return Publish(f"u{number}/terminal", (message(str(number), payload=b"x" * size),))


async def test_memory_is_bounded_and_losses_are_told(monkeypatch, caplog):
    monkeypatch.setattr(orphans_module, "MAX_ENDS", 3)
    monkeypatch.setattr(orphans_module, "MAX_BYTES", 100)
    kept = Orphans()
    kept.keep(end(n) for n in range(5))
    assert (len(kept), kept.dropped) == (3, 2)
    kept.keep([end(9, 99)])
    assert (len(kept), kept.dropped) == (1, 5)
    assert "u4/terminal" in caplog.text


async def test_one_that_is_refused_does_not_hold_up_the_others():
    kept = Orphans()
    kept.keep(end(n) for n in range(3))

    async def send(one):
        return one.terminal_id != "u0/terminal"

    assert not await kept.send_all(send)
    assert len(kept) == 1
