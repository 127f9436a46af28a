"""`agenttask replay` against a real nats-server: what was lost comes back, once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.operator.builders import dead, digest, running
from tests.operator.outage import World, subjects, uid_of, until_over
from tests.servers.nats import NatsServer, free_port, nats_binary

import nats
from agenttask_api import names
from agenttask_api.result import AgentResult
from agenttask_cli.errors import BadInput, Failed
from agenttask_cli.natsbus import Access, connected
from agenttask_cli.replay import replay_task
from agenttask_cli.replaying import finished_task
from agenttask_courier.inbox import stored
from agenttask_operator.kinds import TASKS


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "store", nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


async def finished(world: World, tmp_path: Path) -> dict[str, Any]:
    """Take a task through its life, artifacts included."""
    operator = await world.operator()
    world.add("fix")
    await operator.work("fix")
    world.pod("fix", running(names.AGENT), phase="Running")
    await operator.work("fix")
    patch = tmp_path / "change.patch"
    patch.write_bytes(b"a change")
    courier = world.courier("fix")
    await asyncio.wait_for(courier.deliver((stored("change.patch", patch),), b"{}"), 20)
    await asyncio.wait_for(courier.events_sent(), 20)
    await courier.close()
    over = [dead(names.COURIER, 0, digest(stored=True)), dead(names.AGENT, 0)]
    world.pod("fix", *over, phase="Succeeded")
    world.job_ends("fix", "Complete")
    await until_over(world, operator, "fix")
    await operator.outbox.close()
    return dict(world.cluster.objects[TASKS.plural, "team", "fix"])


async def last_result(server: NatsServer) -> AgentResult:
    client = await nats.connect(server.url)
    try:
        found = await client.jetstream().get_last_msg("AGENT_RESULTS", "agent.results.team.fix")
        return AgentResult.model_validate_json(found.data or b"")
    finally:
        await client.close()


async def test_repeat_is_dropped_by_nats(
    server: NatsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = await finished(World(server, tmp_path), tmp_path)
    before = await subjects(server)
    assert await replay_task(manifest, Access(server.url), "default") == 0
    assert await subjects(server) == before
    assert capsys.readouterr().out.count("NATS had it already") == 3


async def test_a_repeat_says_what_the_first_said_of_itself(
    server: NatsServer, tmp_path: Path
) -> None:
    manifest = await finished(World(server, tmp_path), tmp_path)
    async with connected(Access(server.url)) as jetstream:
        subject = "agent.results.team.fix"
        first = await jetstream.get_last_msg("AGENT_RESULTS", subject)
        config = (await jetstream.stream_info("AGENT_RESULTS")).config
        assert config.duplicate_window
        await jetstream.update_stream(config, duplicate_window=0.2)
        await asyncio.sleep(1)
        await replay_task(manifest, Access(server.url), "another-cluster")
        again = await jetstream.get_last_msg("AGENT_RESULTS", subject)
    assert again.seq == (first.seq or 0) + 1
    assert again.headers == first.headers


async def test_what_the_streams_lost_comes_back_once(server: NatsServer, tmp_path: Path) -> None:
    manifest = await finished(World(server, tmp_path), tmp_path)
    client = await nats.connect(server.url)
    for name in ("AGENT_RESULTS", "AGENT_RESPONSES"):
        config = (await client.jetstream().stream_info(name)).config
        await client.jetstream().delete_stream(name)
        await client.jetstream().add_stream(config)
    await client.close()
    for _ in range(2):
        await replay_task(manifest, Access(server.url), "default")
    found = (await subjects(server))["fix"]
    assert [kind for kind, _ in found] == ["started", "completed"]
    assert found[-1][1].startswith(f"{uid_of('fix')}/")
    result = await last_result(server)
    assert (result.success, result.verdict) == (True, "Verified")
    assert [(r.name, r.size) for r in result.artifacts.refs] == [("change.patch", 8)]
    assert len(result.artifacts.refs[0].sha256) == 64


async def test_unfinished_task_is_refused(server: NatsServer, tmp_path: Path) -> None:
    world = World(server, tmp_path)
    world.add("fix")
    with pytest.raises(BadInput, match="has not ended"):
        finished_task(dict(world.cluster.objects[TASKS.plural, "team", "fix"]))


async def test_absent_nats_is_told_with_its_address(tmp_path: Path, server: NatsServer) -> None:
    manifest = await finished(World(server, tmp_path), tmp_path)
    with pytest.raises(Failed, match="NATS at nats://127.0.0.1:1: "):
        await replay_task(manifest, Access("nats://127.0.0.1:1"), "default")
