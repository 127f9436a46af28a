"""/healthz and /readyz of a running operator: each fails for its own reason, and for no other.

Everything runs as installed but with shorter bounds: informers, workers, NATS, web server.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from kubernetes.aio.client import ApiClient, Configuration
from tests.operator.apiserver import SmallApi
from tests.operator.builders import class_object, task_object
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_operator.cluster import Cluster
from agenttask_operator.connection import Connection
from agenttask_operator.health import USUAL, Bounds
from agenttask_operator.observed import parse_task
from agenttask_operator.runtime import Runtime
from agenttask_operator.settings import Settings

SECONDS = 15.0
Answer = tuple[int, str]


@dataclass
class Process:
    """One running operator."""

    api: SmallApi
    runtime: Runtime
    port: int
    session: aiohttp.ClientSession

    async def asked(self, path: str) -> Answer:
        async with self.session.get(f"http://127.0.0.1:{self.port}{path}") as reply:
            return reply.status, await reply.text()

    async def until(self, path: str, words: str) -> str:
        """Wait for an answer with these words and return all of it."""
        end = time.monotonic() + SECONDS
        while words not in (said := (await self.asked(path))[1]):
            assert time.monotonic() < end, f"{path} says {said!r}, never {words!r}"
            await asyncio.sleep(0.02)
        return said

    async def both_well(self) -> None:
        await self.until("/healthz", "ok")
        await self.until("/readyz", "ok")


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start an operator: `await start(Bounds(lag=1), nats_url=...)`."""
    api, session, running = SmallApi(), aiohttp.ClientSession(), []
    await api.start()

    async def begin(bounds: Bounds = USUAL, alive: bool = True, **settings: object) -> Process:
        port = free_port()
        given = {"agent_image": "a", "workers": 1, "model_probe_seconds": 0.0, **settings}
        wanted = Settings(http_address=f"127.0.0.1:{port}", **given)  # type: ignore[arg-type]
        cluster = Cluster(Connection(ApiClient(Configuration(host=api.url))))
        runtime = Runtime(wanted, cluster, lambda: None, "me", bounds)
        await runtime.start(lambda: alive)
        running.append(runtime)
        return Process(api, runtime, port, session)

    yield begin
    await api.stop()
    for runtime in running:
        await runtime.stop()
    await session.close()


async def test_operator_that_hears_is_well_and_ready(start: Start) -> None:
    process = await start()
    await process.both_well()


async def test_silent_watch_makes_unready_first_and_ill_if_nobody_asks_again(start: Start) -> None:
    process = await start(Bounds(watch_age=0.5, still=2.0))
    await process.both_well()
    process.api.silent = True
    for kind in ("jobs", "pods", "unfinished agenttasks", "roster of agenttasks"):
        assert "has not been heard of" in await process.until("/readyz", kind)
    assert await process.asked("/healthz") == (200, "ok\n")
    assert "neither hear nor ask" in await process.until("/healthz", "watches")
    assert (await process.asked("/healthz"))[0] == 503


async def test_api_server_that_is_away_makes_unready_and_is_no_reason_to_restart(
    start: Start,
) -> None:
    process = await start(Bounds(watch_age=0.5))
    await process.both_well()
    await process.api.stop()
    await process.until("/readyz", "has not been heard of")
    assert await process.asked("/healthz") == (200, "ok\n")
    await process.api.start()
    await process.until("/readyz", "ok")


async def test_what_was_never_listed_makes_unready(start: Start) -> None:
    process = await start()
    await process.api.stop()
    assert (await process.asked("/healthz"))[0] == 200
    unheard = await start()
    await unheard.until("/readyz", "not listed yet")
    assert await unheard.asked("/healthz") == (200, "ok\n")
    await process.api.start()


async def test_nats_that_is_away_is_no_reason_for_either(start: Start, tmp_path: Path) -> None:
    nats = NatsServer(tmp_path, nats_binary(), free_port())
    nats.start()
    try:
        process = await start(Bounds(watch_age=5.0), nats_url=nats.url)
        await process.both_well()
    finally:
        nats.stop()
    for _ in range(20):
        assert await process.asked("/healthz") == (200, "ok\n")
        assert await process.asked("/readyz") == (200, "ok\n")
        await asyncio.sleep(0.05)


async def test_workers_that_hang_make_ill(start: Start) -> None:
    process = await start(Bounds(stuck=0.5))
    await process.both_well()
    process.api.hanging = True
    process.runtime.news.class_(None, class_object())
    for name in ("first", "second"):
        obj = task_object()
        obj["metadata"] |= {"name": name, "uid": f"uid-{name}"}
        process.runtime.roster.changed(parse_task(obj))
    assert "a task waits" in await process.until("/healthz", "the workers are stuck")


async def test_loop_that_is_late_makes_ill_for_as_long_as_it_is(start: Start) -> None:
    process = await start(Bounds(lag=0.3))
    await process.both_well()
    time.sleep(2)  # noqa: ASYNC251 (the fault itself)
    await process.until("/healthz", "the event loop is")
    await process.both_well()


async def test_kopf_that_is_gone_makes_ill(start: Start) -> None:
    process = await start(alive=False)
    assert await process.asked("/healthz") == (503, "stopped: kopf\n")
