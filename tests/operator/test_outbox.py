"""The outbox against a real nats-server: up, down, up again, and never twice."""

import asyncio
import hashlib
import time

import pytest
from nats.aio.client import Client
from tests.servers.nats import NatsServer, free_port

import nats
from agenttask_api.events import STREAMS
from agenttask_api.result import AgentResult, Change, ResultArtifacts
from agenttask_operator.messages import Message
from agenttask_operator.outbox import Outbox

SUBJECT = "agent.response.completed.team.fix"


@pytest.fixture
async def outbox(server):
    outbox = Outbox(server.url)
    outbox.start()
    yield outbox
    await outbox.close()


def message(identifier="uid/1-a/terminal", subject=SUBJECT, payload=b"{}"):
    return Message(subject, (("Nats-Msg-Id", identifier),), payload)


def result():
    change = Change(base_commit="b", files_changed=("a.py",))
    return AgentResult(
        event_id="e",
        ts="t",
        trace_id="x",
        task_id="team.fix",
        run_key="1-a",
        pod_uid="p",
        success=True,
        verdict="Verified",
        stop_reason="Completed",
        artifacts=ResultArtifacts(change=change),
    )


async def count(server, stream):
    client = await nats.connect(server.url)
    try:
        return (await client.jetstream().stream_info(stream)).state.messages
    finally:
        await client.close()


async def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_streams_are_made_as_the_contract_has_them(server, outbox):
    assert await outbox.publish([message()])
    client = await nats.connect(server.url)
    for stream in STREAMS:
        config = (await client.jetstream().stream_info(stream.name)).config
        assert config.subjects == list(stream.subjects)
        assert config.duplicate_window == stream.duplicate_window_seconds
        assert config.max_age == stream.max_age_seconds
    await client.close()


async def test_repeated_message_is_stored_once(server, outbox):
    for _ in range(3):
        assert await outbox.publish([message()])
    assert await count(server, "AGENT_RESPONSES") == 1


async def test_server_down_is_told_at_once_and_up_again_is_used(server, outbox):
    ready = []
    outbox.on_ready = lambda: ready.append(1)
    assert await outbox.publish([message("1")])
    server.stop()
    await until(lambda: not outbox.connected)
    assert not await asyncio.wait_for(outbox.publish([message("2")]), 30)
    server.start()
    await until(lambda: outbox.connected)
    assert await outbox.publish([message("2")])
    assert await count(server, "AGENT_RESPONSES") == 2
    assert len(ready) == 2


async def test_server_that_comes_later_is_found(binary, tmp_path):
    server = NatsServer(tmp_path, binary, free_port())
    outbox = Outbox(server.url)
    outbox.start()
    assert not await asyncio.wait_for(outbox.publish([message()]), 30)
    server.start()
    try:
        await until(lambda: outbox.connected)
        assert await outbox.publish([message()])
    finally:
        await outbox.close()
        server.stop()


async def test_result_is_found_by_its_checksum(outbox):
    payload = result().model_dump_json(by_alias=True).encode()
    await outbox.publish([message("r", "agent.results.team.fix", payload)])
    digest = hashlib.sha256(payload).hexdigest()
    found = await outbox.fetch_result("team.fix", digest)
    assert found
    assert found.artifacts.change.files_changed == ("a.py",)
    assert await outbox.fetch_result("team.fix", "0" * 64) is None
    assert await outbox.fetch_result("team.other", digest) is None


async def test_result_that_is_not_one_is_ignored(outbox):
    await outbox.publish([message("r", "agent.results.team.fix", b"nonsense")])
    digest = hashlib.sha256(b"nonsense").hexdigest()
    assert await outbox.fetch_result("team.fix", digest) is None


async def test_stream_of_another_configuration_is_used_as_it_is(server):
    client = await nats.connect(server.url)
    await client.jetstream().add_stream(name="AGENT_RESPONSES", subjects=["agent.response.>"])
    await client.close()
    outbox = Outbox(server.url)
    outbox.start()
    try:
        assert await outbox.publish([message()])
    finally:
        await outbox.close()


async def test_subject_without_a_stream_is_not_taken(outbox):
    assert not await outbox.publish([message(subject="elsewhere")])


class LostUnnoticed(Client):
    """A connection that is gone while nats-py still takes it for one."""

    is_connected = True

    async def close(self) -> None:
        raise ConnectionResetError("Connection lost")


async def test_connection_that_is_lost_while_it_is_closed_is_closed():
    outbox = Outbox("nats://127.0.0.1:1", client=LostUnnoticed())
    await asyncio.wait_for(outbox.close(), 10)
    assert not await outbox.reachable()
