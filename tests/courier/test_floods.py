"""Floods at the door of a real courier: memory stays flat, and what is dropped is counted."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.courier.conftest import MakeDocument, Origin
from tests.courier.pod import FakeAgent, eventually, running_pod
from tests.courier.test_process import courier, root  # noqa: F401 - a fixture
from tests.courier.test_run import published_result
from tests.servers.nats import NatsServer
from tests.servers.vllm import VLLM

from agenttask_api.door import MAX_EVENT_BYTES
from agenttask_courier.places import Places

MIB = 1024 * 1024
GROWTH_BYTES = 24 * MIB
"""What a courier may grow by, whatever is thrown at it."""
SLOW = bool(os.environ.get("AGENTTASK_SLOW_TESTS"))
FLOOD_SECONDS = 60.0 if SLOW else 3.0
CONNECTIONS = 2
UPLOAD_BYTES = 1024 * MIB if SLOW else 64 * MIB


def memory(pid: int) -> int:
    """Return the resident set in bytes."""
    fields = Path(f"/proc/{pid}/statm").read_text("utf-8").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


async def flood(places: Places, size: int) -> dict[str, int]:
    """Flood through one connection, from a process of its own; see flooder."""
    flooder = "tests.courier.flooder"
    arguments = (str(places.door_socket), str(size), str(FLOOD_SECONDS))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", flooder, *arguments), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return dict(json.loads(output))


async def flooded(places: Places, pid: int, size: int) -> tuple[int, int, int, int]:
    """Flood; return bytes sent, events answered, and memory before and at most."""
    before, most = memory(pid), 0
    floods = [asyncio.create_task(flood(places, size)) for _ in range(CONNECTIONS)]
    while not all(task.done() for task in floods):
        most = max(most, memory(pid))
        await asyncio.wait(floods, timeout=0.1, return_when=asyncio.ALL_COMPLETED)
    done = [task.result() for task in floods]
    sent, answered = (sum(found[key] for found in done) for key in ("sent", "answered"))
    return sent, answered, before, most


async def test_a_flood_of_large_events_leaves_memory_flat_and_is_counted(
    root: Path,  # noqa: F811
    places: Places,
    nats: NatsServer,
):
    with courier(root, "serve", NATS_URL=nats.url) as process:
        agent = FakeAgent(places)
        await agent.attach()
        sent, answered, before, most = await flooded(places, process.pid, MAX_EVENT_BYTES - 100)
        assert (await agent.door.get("/v1/nothing")).status_code == 404
        await agent.hand_in(b"", stopReason="IterationLimit")
        await agent.receipt()
        await agent.die()
    dropped = json.loads(await published_result(nats))["events_dropped"]
    rate, grown = sent / FLOOD_SECONDS / 1e6, (most - before) / 1e6
    sys.stdout.write(f"{rate:.0f} MB/s, {answered} events, {dropped} dropped, {grown:.1f} MB\n")
    assert sent > 50 * MIB
    assert answered > sent / MAX_EVENT_BYTES / 2
    assert answered * 0.5 < dropped <= answered
    assert most - before < GROWTH_BYTES


async def test_a_flood_of_refused_bodies_leaves_memory_flat(root: Path, places: Places):  # noqa: F811
    """More bytes than anything may have, to every route, without telling how many."""

    def endless() -> Iterator[bytes]:
        for _ in range(UPLOAD_BYTES // MIB):
            yield b"x" * MIB

    with courier(root, "serve") as process:
        agent = FakeAgent(places)
        await agent.attach()
        before, most = memory(process.pid), 0
        for method, path in (
            ("PUT", "/artifacts/a"),
            ("PUT", "/result"),
            ("POST", "/events"),
            ("POST", "/v1/chat/completions"),
        ):
            status = await asyncio.to_thread(upload, places, method, path, endless())
            assert status in (0, 413)
            most = max(most, memory(process.pid))
        await agent.die()
    assert most - before < GROWTH_BYTES


def upload(places: Places, method: str, path: str, content: Iterator[bytes]) -> int:
    """Return the status, 0 when the door had hung up before all was said."""
    transport = httpx.HTTPTransport(uds=str(places.door_socket))
    with httpx.Client(transport=transport, base_url="http://door", timeout=60) as client:
        try:
            return client.request(method, path, content=content).status_code
        except httpx.TransportError:
            return 0


async def test_dropped_events_are_counted_in_the_result(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    async with running_pod(places, make_document(), vllm.url, nats.url) as pod:
        await pod.agent.attach()
        pod.courier.telling.pace.per_second = 0
        event = {"step": 1, "type": "decision", "message": "hm"}
        for _ in range(20):
            assert (await pod.agent.door.post("/events", json=event)).status_code == 202
        await pod.agent.hand_in(b"", stopReason="IterationLimit")
        await pod.agent.receipt()
    result = json.loads(await published_result(nats))
    assert result["events_dropped"] == 20


@pytest.mark.parametrize("depth", [200_000])
async def test_deep_json_is_refused_by_a_courier_that_lives(
    root: Path,  # noqa: F811
    places: Places,
    depth: int,
):
    with courier(root, "serve") as process:
        agent = FakeAgent(places)
        await agent.attach()
        for body in (b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth):
            answer = await agent.door.post("/v1/chat/completions", content=body)
            assert answer.status_code == 400
        await agent.die()
        await eventually(places.attached_mark.exists)
        assert process.poll() is None
