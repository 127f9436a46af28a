"""The publisher against a real NATS that comes and goes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from nats.js.api import RawStreamMsg
from tests.courier.conftest import MakeDocument, write_files
from tests.servers import natslogins
from tests.servers.nats import NatsServer, free_port

import nats as nats_py
from agenttask_api.cancellation import end
from agenttask_api.events import STREAMS
from agenttask_api.natslogin import NatsLogin
from agenttask_api.reasons import Reason
from agenttask_api.result import MAX_RESULT_BYTES, AgentReport, AgentResult, Operation
from agenttask_api.status import Phase, Usage
from agenttask_courier import publish
from agenttask_courier.decision import Outcome
from agenttask_courier.inbox import stored
from agenttask_courier.judge import Evidence
from agenttask_courier.places import Places
from agenttask_courier.publish import Publisher, read_login
from agenttask_courier.result import Account, build_result, result_payload
from agenttask_courier.settings import Settings


@pytest.fixture
async def publisher(
    places: Places, nats: NatsServer, make_unreachable: MakeDocument
) -> AsyncIterator[Publisher]:
    settings = Settings("http://x", nats.url, cluster_id="test", pod_uid="pod-1")
    made = Publisher(settings, make_unreachable(), places)
    yield made
    await made.close()


async def responses(nats: NatsServer) -> list[RawStreamMsg]:
    client = await nats_py.connect(nats.url)
    jetstream = client.jetstream()
    last = (await jetstream.stream_info("AGENT_RESPONSES")).state.last_seq
    found = [await jetstream.get_msg("AGENT_RESPONSES", n) for n in range(1, last + 1)]
    await client.close()
    return found


async def test_events_carry_ids_and_cloudevents_headers(publisher: Publisher, nats: NatsServer):
    publisher.start()
    publisher.event("started", "Running")
    publisher.event("progress", "1", "hm", {"type": "decision"})
    await asyncio.wait_for(publisher.deliver((), b"{}"), 10)
    await asyncio.wait_for(publisher.events_sent(), 10)
    first, second = await responses(nats)
    assert first.headers
    assert first.headers["Nats-Msg-Id"].endswith("/0/pod-1/1")
    assert first.headers["ce-type"] == "dev.agenttask.started.v1"
    assert "/clusters/test/" in first.headers["ce-source"]
    assert json.loads(second.data or b"")["data"] == {"type": "decision"}
    assert second.subject == "agent.response.progress.team-a.fix-add"


async def test_repeat_is_deduplicated(publisher: Publisher, nats: NatsServer, tmp_path: Path):
    publisher.start()
    path = tmp_path / "f"
    path.write_bytes(b"content")
    for _ in range(2):
        await asyncio.wait_for(publisher.deliver((stored("f", path),), b"{}"), 10)
    client = await nats_py.connect(nats.url)
    info = await client.jetstream().stream_info("AGENT_RESULTS")
    await client.close()
    assert info.state.messages == 1


async def test_full_buffer_drops_and_counts(publisher: Publisher, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publish, "MAX_WAITING_EVENTS", 3)
    for number in range(5):
        publisher.event("progress", str(number))
    assert publisher.dropped == 2


async def test_buffer_is_bounded_in_bytes_too(publisher: Publisher):
    for _ in range(300):
        publisher.event("progress", "1", "x" * 60_000)
    assert publisher.dropped > 100
    assert sum(map(len, publisher._waiting)) <= publish.MAX_WAITING_BYTES


async def test_events_wait_for_nats(publisher: Publisher, nats: NatsServer):
    nats.stop()
    publisher.start()
    publisher.event("started", "Running")
    delivering = asyncio.create_task(publisher.deliver((), b"{}"))
    await asyncio.wait({delivering}, timeout=0.5)
    assert not delivering.done()
    nats.start()
    await asyncio.wait_for(delivering, 10)
    await asyncio.wait_for(publisher.events_sent(), 10)
    assert len(await responses(nats)) == 1


def test_credentials_come_from_the_mounted_files(places: Places):
    assert read_login(places) == NatsLogin()
    write_files(places.nats_creds, {"user.creds": "x", "token": "t\n"})
    write_files(places.nats_tls, {"ca.crt": "y"})
    assert read_login(places) == NatsLogin(
        creds=str(places.nats_creds / "user.creds"),
        token="t",
        ca=str(places.nats_tls / "ca.crt"),
    )


@pytest.mark.parametrize("way", [*natslogins.FILES, *natslogins.WORDS])
async def test_every_way_to_log_in(
    way: Callable[[Path], natslogins.Login],
    places: Places,
    make_unreachable: MakeDocument,
    nats_server_binary: str,
    tmp_path: Path,
):
    login = way(tmp_path)
    server = NatsServer(tmp_path / "s", nats_server_binary, free_port(), login.options)
    server.start()
    settings = Settings("http://x", server.url, pod_uid="pod-1")
    stranger = Publisher(settings, make_unreachable(), Places.below(tmp_path / "other"))
    natslogins.write(places.nats_creds, login.credentials)
    natslogins.write(places.nats_tls, login.tls)
    known = Publisher(settings, make_unreachable(), places)
    try:
        known.start()
        stranger.start()
        await asyncio.wait_for(known.deliver((), b"{}"), 20)
        refused = asyncio.create_task(stranger.connection())
        await asyncio.wait({refused}, timeout=1)
        assert not refused.done()
        await end(refused)
    finally:
        server.stop()
        await asyncio.gather(known.close(), stranger.close())


async def test_stream_that_a_courier_makes_is_as_documented(publisher: Publisher, nats: NatsServer):
    publisher.start()
    publisher.event("started", "Running")
    await asyncio.wait_for(publisher.deliver((), b"{}"), 10)
    await asyncio.wait_for(publisher.events_sent(), 10)
    client = await nats_py.connect(nats.url)
    for stream in STREAMS[:2]:
        config = (await client.jetstream().stream_info(stream.name)).config
        assert (config.max_msg_size, config.max_age, config.duplicate_window) == (
            stream.max_message_bytes,
            stream.max_age_seconds,
            stream.duplicate_window_seconds,
        )
    await client.close()


def account(document: MakeDocument, report: AgentReport | None) -> Account:
    outcome = Outcome(Phase.SUCCEEDED, Reason.COMPLETED)
    settings = Settings("http://x", pod_uid="p")
    return Account(settings, document(), "base", outcome, Evidence(), report, Usage())


def test_large_result_is_cut_visibly(make_unreachable: MakeDocument):
    operations = tuple(
        Operation(seq=n, operation="files.read", success=True, params={"path": "x" * 1000})
        for n in range(3000)
    )
    report = AgentReport(stop_reason="Completed", operations=operations)
    payload = result_payload(build_result(account(make_unreachable, report)))
    assert len(payload) <= MAX_RESULT_BYTES
    result = AgentResult.model_validate_json(payload)
    assert result.truncated
    assert result.operations[-1].seq == 2999
    assert result.operation_counts.total == 3000


def test_small_result_is_whole(make_unreachable: MakeDocument):
    result = build_result(account(make_unreachable, None))
    assert AgentResult.model_validate_json(result_payload(result)) == result
    assert not result.truncated
