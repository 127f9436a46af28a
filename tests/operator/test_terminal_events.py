"""Exactly one terminal event for each run, after `started`, whatever ended it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.operator.builders import dead, digest, running
from tests.operator.outage import Operator, World, key_of, subjects, uid_of, until_over
from tests.operator.test_outbox import until
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_api import names
from agenttask_operator.kinds import TASKS

End = Callable[[World, Operator], Awaitable[Operator]]
NAME = "fix"
WELL = (dead(names.COURIER, 0, digest(stored=True)), dead(names.AGENT, 0))
OOM = dead(names.AGENT, 137, reason="OOMKilled")


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path / "store", nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


def fails(*containers, **more) -> End:
    async def end(world, operator):
        world.pod(NAME, *containers, phase="Failed", **more)
        world.job_ends(NAME, "Failed")
        return operator

    return end


def disrupted(reason):
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason}]


async def well(world, operator):
    world.pod(NAME, *WELL, phase="Succeeded")
    world.job_ends(NAME, "Complete")
    return operator


async def node_loses_everything(world, operator):
    world.lose(NAME)
    return operator


async def operator_is_down(world, operator):
    await operator.outbox.close()
    await well(world, operator)
    return await world.operator()


async def nats_restarts(world, operator):
    world.server.stop()
    await until(lambda: not operator.outbox.connected)
    await well(world, operator)
    await operator.work(NAME)
    assert not world.over(NAME)
    world.server.start()
    return operator


async def nats_restarts_while_the_operator_is_down(world, operator):
    await nats_restarts(world, operator)
    await operator.outbox.close()
    return await world.operator()


async def told_by_two_operators(world, operator):
    await well(world, operator)
    other = await world.operator()
    await asyncio.gather(operator.work(NAME), other.work(NAME))
    await operator.outbox.close()
    return other


async def stream_is_deleted(world, operator):
    await operator.outbox.jetstream().delete_stream("AGENT_RESPONSES")
    return await fails(OOM, dead(names.COURIER, 137))(world, operator)


ENDS: dict[str, tuple[End, str, str]] = {
    "well": (well, "completed", "Completed"),
    "out of memory": (fails(OOM), "failed", "OOMKilled"),
    "evicted": (
        fails(running(names.AGENT), reason="Evicted", message="The node was low on memory"),
        "failed",
        "Evicted",
    ),
    "drained": (
        fails(running(names.AGENT), conditions=disrupted("EvictionByEvictionAPI")),
        "failed",
        "Evicted",
    ),
    "deadline": (
        fails(dead(names.AGENT, 137), reason="DeadlineExceeded"),
        "failed",
        "DeadlineExceeded",
    ),
    "node lost": (
        fails(running(names.AGENT), conditions=disrupted("DeletionByTaintManager")),
        "failed",
        "NodeLost",
    ),
    "node lost with Job and pod": (node_loses_everything, "failed", "JobLost"),
    "courier killed": (
        fails(dead(names.COURIER, 137), dead(names.AGENT, 1)),
        "failed",
        "NoResult",
    ),
    "operator down": (operator_is_down, "completed", "Completed"),
    "NATS restarts": (nats_restarts, "completed", "Completed"),
    "NATS restarts, operator down": (
        nats_restarts_while_the_operator_is_down,
        "completed",
        "Completed",
    ),
    "two operators": (told_by_two_operators, "completed", "Completed"),
    "stream deleted": (stream_is_deleted, "failed", "OOMKilled"),
}


async def begin(world: World) -> Operator:
    operator = await world.operator()
    world.add(NAME)
    await operator.work(NAME)
    world.pod(NAME, running(names.AGENT), phase="Running")
    await operator.work(NAME)
    return operator


@pytest.mark.parametrize("name", ENDS)
async def test_one_terminal_event_after_started(name, server, tmp_path):
    end, kind, reason = ENDS[name]
    world = World(server, tmp_path)
    operator = await begin(world)
    courier = world.courier(NAME)
    try:
        await asyncio.wait_for(courier.events_sent(), 10)
        await courier.close()
        operator = await end(world, operator)
        await until_over(world, operator, NAME)
        for _ in range(2):
            operator.reconciler.forget(key_of(NAME))
            await operator.work(NAME)
        found = (await subjects(server))[NAME]
    finally:
        await operator.outbox.close()
    assert world.status(NAME)["reason"] == reason
    assert [k for k, _ in found if k != "progress"] == ["started", kind]
    assert found[-1][1].startswith(f"{uid_of(NAME)}/1-")
    assert found[-1][1].endswith("/terminal")


async def test_killed_courier_that_nats_never_heard_is_spoken_for(server, tmp_path):
    world = World(server, tmp_path)
    operator = await begin(world)
    try:
        await fails(dead(names.COURIER, 137), dead(names.AGENT, 1))(world, operator)
        await until_over(world, operator, NAME)
        found = (await subjects(server))[NAME]
        result = await operator.outbox.fetch_result(f"team.{NAME}", "")
    finally:
        await operator.outbox.close()
    assert [k for k, _ in found] == ["started", "failed"]
    assert result
    assert not result.success


async def test_superseded_run_that_nats_did_not_hear_of_is_told_later(server, tmp_path):
    world = World(server, tmp_path)
    operator = await begin(world)
    try:
        server.stop()
        await until(lambda: not operator.outbox.connected)
        task = world.cluster.task
        task["spec"]["runID"] = "2"
        task["metadata"]["generation"] += 1
        world.cluster.put(TASKS, task)
        for _ in range(4):
            await operator.work(NAME)
        assert [p["key"][:2] for p in world.status(NAME)["outbox"]["pending"]] == ["1-"]
        await operator.outbox.close()
        server.start()
        operator = await world.operator()
        for _ in range(3):
            await operator.work(NAME)
        found = (await subjects(server))[NAME]
    finally:
        await operator.outbox.close()
    assert [(k, i.split("/")[1][:2]) for k, i in found] == [("failed", "1-")]
    assert not world.status(NAME).get("outbox")
