"""NATS is killed, full, forbidden or away for long: no task fails, and all arrives once."""

import asyncio
import json
import os
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.operator.builders import dead, digest, running
from tests.operator.outage import World, subjects, until_over
from tests.operator.test_outbox import count, until
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_api import names
from agenttask_courier.inbox import stored
from agenttask_courier.publish import MAX_WAITING_EVENTS

POINTS = ("before it is applied", "before its Job", "at work", "at its end", "after its end")
LONG = bool(os.environ.get("AGENTTASK_SLOW_TESTS"))
SECONDS = float(os.environ.get("AGENTTASK_OUTAGE_SECONDS", "600" if LONG else "4"))
TASKS_AT_WORK = 200 if LONG else 30
GROWTH_BYTES = 40 * 1024 * 1024
"""What the process may grow by that plays the operator and every courier at once, besides the
events that the couriers keep for NATS."""
EVENT_BYTES = 1500
"""What such an event costs in memory while it waits (1,253 measured); 1,000 wait at most in each
courier, which has a process of its own in the product."""


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path / "store", nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


async def ends_well(world, name, path):
    """The courier delivers, then the pod ends with a digest that says so."""
    courier = world.couriers[name]
    await asyncio.wait_for(courier.deliver((stored("change.patch", path),), b"{}"), 60)
    await asyncio.wait_for(courier.events_sent(), 60)
    await courier.close()
    world.pod(
        name,
        dead(names.COURIER, 0, digest(stored=True)),
        dead(names.AGENT, 0),
        phase="Succeeded",
    )
    world.job_ends(name, "Complete")


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_any_point_of_a_life(point, server, tmp_path):
    world = World(server, tmp_path)
    operator = await world.operator()
    assert await operator.outbox.reachable()
    patch = tmp_path / "change.patch"
    patch.write_bytes(b"x" * 100_000)

    async def dies_at(here):
        if here == point:
            server.stop()
            await until(lambda: not operator.outbox.connected)

    await dies_at(POINTS[0])
    world.add("fix")
    await dies_at(POINTS[1])
    await operator.work("fix")
    world.pod("fix", running(names.AGENT), phase="Running")
    await operator.work("fix")
    world.courier("fix")
    await dies_at(POINTS[2])
    await operator.work("fix")
    ending = asyncio.create_task(ends_well(world, "fix", patch))
    await dies_at(POINTS[3])
    if server.process is None:
        await operator.work("fix")
        server.start()
        await until(lambda: operator.outbox.connected)
    await ending
    await dies_at(POINTS[4])
    await operator.work("fix")
    if server.process is None:
        server.start()
    try:
        await until_over(world, operator, "fix")
        found = Counter(kind for kind, _ in (await subjects(server))["fix"])
        results = await count(server, "AGENT_RESULTS")
    finally:
        await operator.outbox.close()
    assert world.status("fix")["phase"] == "Succeeded"
    assert (found, results) == (Counter(started=1, progress=1, completed=1), 1)


async def test_forbidden_for_a_while(tmp_path):
    config = tmp_path / "nats.conf"

    def allow(*subjects_: str) -> None:
        allowed = json.dumps({"publish": list(subjects_), "subscribe": [">"]})
        config.write_text(
            f"authorization {{ users = [ {{user: u, password: p, permissions: {allowed}}} ] }}",
            "utf-8",
        )

    allow("$JS.API.>", "$KV.>")
    options = ("-c", str(config))
    server = NatsServer(tmp_path / "store", nats_binary(), free_port(), options, "u:p@")
    server.start()
    world = World(server, tmp_path)
    operator = await world.operator()
    try:
        world.add("fix")
        await operator.work("fix")
        world.pod("fix", running(names.AGENT), phase="Running")
        await operator.work("fix")
        world.pod("fix", dead(names.AGENT, 137, reason="OOMKilled"), phase="Failed")
        world.job_ends("fix", "Failed")
        await operator.work("fix")
        assert world.status("fix")["reason"] == "OOMKilled"
        assert not world.over("fix")
        allow(">")
        server.stop()
        server.start()
        await until_over(world, operator, "fix")
        found = [kind for kind, _ in (await subjects(server))["fix"]]
    finally:
        await operator.outbox.close()
        server.stop()
    assert found == ["started", "failed"]


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 8 MiB; making one takes root, which the cluster's tests need as well."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)


async def test_full_disk(small_disk, tmp_path):
    server = NatsServer(small_disk, nats_binary(), free_port())
    server.start()
    world = World(server, tmp_path)
    operator = await world.operator()
    patch = tmp_path / "change.patch"
    patch.write_bytes(b"x" * 1_000_000)
    try:
        world.add("fix")
        await operator.work("fix")
        world.pod("fix", running(names.AGENT), phase="Running")
        await operator.work("fix")
        fill(small_disk / "ballast")
        world.courier("fix")
        ending = asyncio.create_task(ends_well(world, "fix", patch))
        await operator.work("fix")
        await asyncio.wait({ending}, timeout=2)
        assert not ending.done()
        assert world.status("fix")["phase"] == "Running"
        server.stop()
        (small_disk / "ballast").unlink()
        server.start()
        await ending
        await until_over(world, operator, "fix")
        found = Counter(kind for kind, _ in (await subjects(server))["fix"])
    finally:
        await operator.outbox.close()
        server.stop()
    assert world.status("fix")["phase"] == "Succeeded"
    assert found == Counter(started=1, progress=1, completed=1)


def fill(path: Path) -> None:
    """Take all space that is left."""
    with path.open("wb") as file:
        try:
            for _ in range(1024):
                file.write(b"x" * 65536)
                file.flush()
        except OSError:
            return
    raise AssertionError("the disk is larger than it is said to be")


def rss() -> int:
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_away_for_long_under_many_tasks(server, tmp_path):
    """Ten minutes under 200 tasks with AGENTTASK_SLOW_TESTS, seconds under some without."""
    world = World(server, tmp_path)
    operator = await world.operator()
    names_ = [f"fix-{n}" for n in range(TASKS_AT_WORK)]
    patch = tmp_path / "change.patch"
    patch.write_bytes(b"x" * 10_000)
    world.add(*names_)
    await operator.work(*names_)
    for name in names_:
        world.pod(name, running(names.AGENT), phase="Running")
        world.courier(name)
    await operator.work(*names_)
    await asyncio.gather(*(world.couriers[n].events_sent() for n in names_))

    server.stop()
    await until(lambda: not operator.outbox.connected)
    begun, before, steps = time.monotonic(), rss(), 1
    early = names_[: TASKS_AT_WORK // 4]
    for name in early:
        world.pod(name, dead(names.AGENT, 137, reason="OOMKilled"), phase="Failed")
        world.job_ends(name, "Failed")
    while time.monotonic() < begun + SECONDS:
        await operator.work(*names_)
        for name in names_[len(early) :]:
            world.couriers[name].event("progress", str(steps := steps + 1))
        await asyncio.sleep(1)
    kept = min(steps, MAX_WAITING_EVENTS * (TASKS_AT_WORK - len(early)))
    grown = rss() - before - kept * EVENT_BYTES
    told = {n: world.status(n)["phase"] for n in names_}
    assert Counter(told.values()) == Counter(
        {"Failed": len(early), "Running": TASKS_AT_WORK - len(early)}
    )

    server.start()
    await asyncio.gather(*(ends_well(world, n, patch) for n in names_[len(early) :]))
    try:
        await until_over(world, operator, *names_)
        found = await subjects(server)
        results = await count(server, "AGENT_RESULTS")
    finally:
        await asyncio.gather(*(world.couriers[n].close() for n in early))
        await operator.outbox.close()
    assert set(found) == set(names_)
    for name in names_:
        kinds = Counter(k for k, _ in found[name])
        assert (kinds["started"], kinds["completed"] + kinds["failed"]) == (1, 1)
        assert len({i for _, i in found[name]}) == len(found[name])
    assert results == TASKS_AT_WORK
    assert grown < GROWTH_BYTES
