"""The ledger's adapter against a real nats-server."""

import asyncio

import pytest
from tests.operator.test_outbox import until
from tests.servers.nats import NatsServer, free_port, nats_binary

import nats
from agenttask_api.ledger import LedgerEntry
from agenttask_api.status import AgentTaskStatus, Phase
from agenttask_operator.actions import Record
from agenttask_operator.facts import Recorded
from agenttask_operator.ledger import Ledger
from agenttask_operator.outbox import Outbox

KEY = "prod.team.fix.1-a"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = NatsServer(tmp_path_factory.mktemp("nats"), nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def outbox(server):
    outbox = Outbox(server.url)
    outbox.start()
    assert await outbox.reachable()
    yield outbox
    await outbox.jetstream().delete_stream("KV_agent-runs")
    await outbox.close()


@pytest.fixture
def ledger(outbox):
    return Ledger(outbox)


def begun(uid="u1", key=KEY):
    return Record(key, LedgerEntry(uid=uid, run_key="1-a", started="t0"))


def ended(uid="u1", reason="Completed"):
    outcome = AgentTaskStatus(phase=Phase.SUCCEEDED, reason=reason)
    entry = LedgerEntry(uid=uid, run_key="1-a", job_created=True, started="t1", outcome=outcome)
    return Record(KEY, entry)


async def test_entry_is_read_as_it_was_written(ledger):
    assert await ledger.read(KEY) == Recorded(KEY)
    written = await ledger.begin(begun())
    assert await ledger.read(KEY) == written
    assert written.entry == begun().entry


async def test_of_two_that_begin_one_learns_of_the_other(ledger):
    found = await asyncio.gather(*(ledger.begin(begun(f"u{n}")) for n in range(8)))
    assert len({f.entry.uid for f in found}) == 1


async def test_created_job_is_marked_only_in_the_revision_that_was_read(ledger):
    first = await ledger.begin(begun())
    marked = await ledger.mark_created(first)
    assert marked.entry.job_created
    assert await ledger.mark_created(first) == first
    assert await ledger.read(KEY) == marked


async def test_withdrawn_run_may_begin_again(ledger):
    first = await ledger.begin(begun())
    assert (await ledger.withdraw(first)).entry is None
    assert (await ledger.read(KEY)).entry is None
    assert (await ledger.begin(begun("u2"))).entry.uid == "u2"


async def test_first_outcome_of_an_object_stays(ledger):
    await ledger.begin(begun())
    assert await ledger.finish(ended())
    assert await ledger.finish(ended(reason="JobLost"))
    found = (await ledger.read(KEY)).entry
    assert (found.outcome.reason, found.started) == ("Completed", "t0")


async def test_outcome_is_written_where_nothing_was_begun(ledger):
    assert await ledger.finish(ended())
    assert (await ledger.read(KEY)).entry.outcome.phase is Phase.SUCCEEDED


async def test_entry_that_is_not_one_counts_as_none_and_can_be_finished(ledger, server):
    client = await nats.connect(server.url)
    await client.jetstream().publish(f"$KV.agent-runs.{KEY}", b"nonsense")
    await client.close()
    assert (await ledger.read(KEY)).entry is None
    assert await ledger.finish(ended())
    assert (await ledger.read(KEY)).entry.outcome


async def test_ledger_that_is_away_says_so_and_loses_nothing(tmp_path):
    server = NatsServer(tmp_path, nats_binary(), free_port())
    server.start()
    outbox = Outbox(server.url)
    outbox.start()
    ledger = Ledger(outbox)
    try:
        first = await ledger.begin(begun())
        server.stop()
        await until(lambda: not outbox.connected)
        assert not (await ledger.read(KEY)).reachable
        assert not (await ledger.begin(begun("u2"))).reachable
        assert not await ledger.finish(ended())
        assert await ledger.mark_created(first) == first
        server.start()
        await until(lambda: outbox.connected)
        assert await ledger.finish(ended())
        kept = (await ledger.read(KEY)).entry
        assert kept
        assert kept.started == "t0"
    finally:
        await outbox.close()
        server.stop()
