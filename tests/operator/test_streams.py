"""Streams that are made, missed, different or forbidden; and every way to log in."""

import asyncio

import pytest
from tests.operator.builders import NOW, make_class
from tests.operator.test_outbox import message, until
from tests.servers import natslogins
from tests.servers.nats import NatsServer, free_port, nats_binary
from tests.servers.natsauth import nkey_config

import nats
from agenttask_api.events import (
    ARTIFACT_TTL_SECONDS,
    LEDGER_STREAM,
    RECORDS_STREAM,
    STREAMS,
    artifact_bucket,
    artifact_stream,
)
from agenttask_operator import outbox as outbox_module
from agenttask_operator.cache import Cache
from agenttask_operator.classstatus import NatsState, class_status
from agenttask_operator.memory import Memories
from agenttask_operator.metrics import Gauges
from agenttask_operator.models import Health
from agenttask_operator.outbox import Access, Outbox
from agenttask_operator.queue import WorkQueue
from agenttask_operator.streams import LIST_PAGE, compare_artifact_buckets


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path / "store", nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


async def started(url, access=None):
    outbox = Outbox(url, access or Access())
    outbox.start()
    return outbox


async def test_everything_is_made_as_documented_and_nothing_differs(server):
    outbox = await started(server.url)
    try:
        assert await outbox.reachable()
        assert outbox.findings == {}
        for stream in (*STREAMS, LEDGER_STREAM, RECORDS_STREAM):
            assert (await outbox.jetstream().stream_info(stream.name)).config.name == stream.name
    finally:
        await outbox.close()


async def test_stream_that_differs_is_told_and_left_as_it_is(server, caplog):
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(
        name="AGENT_RESPONSES", subjects=["agent.response.>"], max_age=60, max_msgs=5
    )
    outbox = await started(server.url)
    try:
        assert await outbox.publish([message()])
        assert outbox.findings["AGENT_RESPONSES"] == (
            "max_age is 60, documented 604800",
            "duplicate_window is 60, documented 7200",
            "max_msg_size is 0, documented 1048576",
            "max_msgs is 5, documented 0",
        )
        assert "AGENT_RESPONSES is used as it is" in caplog.text
        kept = (await client.jetstream().stream_info("AGENT_RESPONSES")).config
        assert (kept.max_age, kept.max_msgs) == (60, 5)
    finally:
        await client.close()
        await outbox.close()


async def test_buckets_that_differ_are_told_and_left_as_they_are(server):
    client = await nats.connect(server.url)
    jetstream = client.jetstream()
    await jetstream.create_key_value(bucket="agent-context", ttl=60)
    await jetstream.create_key_value(bucket="agent-runs", history=5)
    await jetstream.create_object_store("agent-artifacts-short", ttl=3600)
    # As the courier makes one.
    await jetstream.create_object_store("agent-artifacts-team", ttl=ARTIFACT_TTL_SECONDS)
    outbox = await started(server.url)
    try:
        assert await outbox.reachable()
        found = dict(outbox.findings)
        kept = (await jetstream.stream_info("OBJ_agent-artifacts-short")).config
    finally:
        await client.close()
        await outbox.close()
    assert set(found) == {"KV_agent-context", "KV_agent-runs", "OBJ_agent-artifacts-short"}
    assert found["OBJ_agent-artifacts-short"] == ("max_age is 3600, documented 2592000",)
    assert "max_msgs_per_subject is 5, documented 1" in found["KV_agent-runs"]
    assert "max_age is 60, documented 15552000" in found["KV_agent-context"]
    assert kept.max_age == 3600


async def test_bucket_that_cannot_replace_a_value_is_told(server):
    wanted = artifact_stream(artifact_bucket("team"))
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(
        name=wanted.name, subjects=list(wanted.subjects), max_age=wanted.max_age_seconds
    )
    try:
        found = await compare_artifact_buckets(client.jetstream())
    finally:
        await client.close()
    assert "allow_rollup_hdrs is False, documented True" in found[wanted.name]


async def test_buckets_beyond_one_page_of_answers_are_compared(server):
    client = await nats.connect(server.url)
    jetstream = client.jetstream()
    for number in range(LIST_PAGE + 1):
        await jetstream.add_stream(name=f"A{number}", subjects=[f"a.{number}"], storage="memory")
    await jetstream.create_object_store("agent-artifacts-team", ttl=60)
    try:
        assert set(await compare_artifact_buckets(jetstream)) == {"OBJ_agent-artifacts-team"}
    finally:
        await client.close()


async def test_deleted_stream_is_made_again_by_the_next_message(server):
    outbox = await started(server.url)
    try:
        assert await outbox.publish([message("1")])
        await outbox.jetstream().delete_stream("AGENT_RESPONSES")
        assert await outbox.publish([message("2")])
        assert (await outbox.jetstream().stream_info("AGENT_RESPONSES")).state.messages == 1
    finally:
        await outbox.close()


async def test_streams_that_may_not_be_made_do_not_keep_messages_from_those_that_exist(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(outbox_module, "SEND_SECONDS", 0.5)
    config = tmp_path / "nats.conf"
    config.write_text(
        "authorization { users = [ {user: admin, password: a}, {user: op, password: o,"
        ' permissions: {publish: ["agent.response.>"],'
        ' subscribe: ["_INBOX_agenttask_operator.>"]}} ] }\n',
        "utf-8",
    )
    server = NatsServer(tmp_path / "s", nats_binary(), free_port(), ("-c", str(config)))
    server.start()
    admin = await nats.connect(server.url, user="admin", password="a")
    await admin.jetstream().add_stream(name="AGENT_RESPONSES", subjects=["agent.response.>"])
    outbox = await started(server.url.replace("//", "//op:o@"))
    try:
        await until(lambda: outbox.connected)
        ours = {s.name for s in (*STREAMS, LEDGER_STREAM, RECORDS_STREAM)}
        assert set(outbox.findings) == {*ours, "OBJ_agent-artifacts-*"}
        assert await outbox.publish([message()])
        assert not await outbox.publish([message("r", "agent.results.team.fix")])
    finally:
        await admin.close()
        await outbox.close()
        server.stop()


def said(state):
    status = class_status(make_class(), Health(), 0, 0, NOW, nats=state)
    found = [c for c in status.conditions if c.type == "NATSReady"]
    return (found[0].status, found[0].reason, found[0].message) if found else None


def test_a_class_says_how_nats_is():
    assert said(None) is None
    assert said(NatsState(True, {}))[:2] == ("True", "StreamsAsDocumented")
    assert said(NatsState(False, {}))[:2] == ("False", "NATSUnavailable")
    told = said(NatsState(True, {"CONTEXT": ("max_age is 1, documented 2",)}))
    assert told[:2] == ("False", "StreamsDiffer")
    assert "CONTEXT: max_age is 1, documented 2" in told[2]


def test_metrics_say_how_nats_is():
    gauges = Gauges(Cache(), WorkQueue(), Memories())
    gauges.now = NOW
    assert not [f for f in gauges.collect() if "nats" in f.name]
    gauges.nats = NatsState(True, {"CONTEXT": ("a", "b")})
    found = {f.name: f.samples for f in gauges.collect()}
    assert found["agenttask_nats_connected"][0].value == 1
    sample = found["agenttask_nats_stream_differs"][0]
    assert (sample.labels, sample.value) == ({"stream": "CONTEXT"}, 2)


def access_of(login, folder):
    """Lay the client's files out for the operator's settings."""
    held = natslogins.write(folder / "held", login.credentials)
    files = {"creds": "user.creds", "nkey": "nkey"}
    found = {k: str(held / name) for k, name in files.items() if name in login.credentials}
    if login.tls:
        found["tls"] = str(natslogins.write(folder / "tls", login.tls))
    return Access(**found)


@pytest.mark.parametrize("way", natslogins.FILES)
async def test_every_way_to_log_in(way, tmp_path):
    login = way(tmp_path)
    server = NatsServer(tmp_path / "s", nats_binary(), free_port(), login.options)
    server.start()
    access = access_of(login, tmp_path)
    known, stranger = await started(server.url, access), await started(server.url)
    try:
        assert await known.publish([message()])
        assert not await stranger.reachable()
    finally:
        await asyncio.gather(known.close(), stranger.close())
        server.stop()


# nats-py forgets the transport of a connection that the server refused.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_credentials_that_are_refused_for_a_while_are_tried_again(tmp_path):
    config, seed = nkey_config(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    stranger_config, _ = nkey_config(other)
    server = NatsServer(tmp_path / "s", nats_binary(), free_port(), ("-c", str(config)))
    server.start()
    outbox = await started(server.url, Access(nkey=str(seed)))
    try:
        assert await outbox.publish([message("1")])
        server.stop()
        server.options = ("-c", str(stranger_config))
        server.start()
        await until(lambda: not outbox.connected)
        await asyncio.sleep(2.5)
        server.stop()
        server.options = ("-c", str(config))
        server.start()
        await until(lambda: outbox.connected)
        assert await outbox.publish([message("2")])
    finally:
        await outbox.close()
        server.stop()


async def test_missing_file_is_told_and_the_operator_lives_on(server, tmp_path, caplog):
    outbox = await started(server.url, Access(tls=str(tmp_path / "absent")))
    try:
        assert not await outbox.reachable()
        assert "NATS cannot be reached" in caplog.text
    finally:
        await outbox.close()
