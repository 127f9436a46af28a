"""A courier works with exactly the NATS permissions that docs/contract.md names, and no more."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, write_files
from tests.servers.nats import NatsServer, free_port
from tests.servers.natspermissions import write_config

import nats as nats_py
from agenttask_api.events import STREAMS
from agenttask_courier.inbox import stored
from agenttask_courier.loglines import LogLines
from agenttask_courier.logservice import LogService
from agenttask_courier.places import Places
from agenttask_courier.publish import Publisher
from agenttask_courier.redaction import make_redaction
from agenttask_courier.settings import Settings

TASK = "team-a.fix-add"


@pytest.fixture
def strict(tmp_path: Path, nats_server_binary: str) -> Iterator[NatsServer]:
    """A server that knows an administrator and a courier."""
    options = ("-c", str(write_config(tmp_path, "courier")))
    server = NatsServer(tmp_path / "strict", nats_server_binary, free_port(), options)
    server.start()
    yield server
    server.stop()


async def test_the_contracts_permissions_are_enough(
    places: Places, strict: NatsServer, make_unreachable: MakeDocument, tmp_path: Path
):
    admin = await nats_py.connect(strict.url, user="admin", password="admin")
    for stream in STREAMS:
        await admin.jetstream().add_stream(name=stream.name, subjects=list(stream.subjects))
    write_files(places.nats_creds, {"username": "courier", "password": "courier"})
    document = make_unreachable()
    publisher = Publisher(Settings("http://x", strict.url, pod_uid="p"), document, places)
    publisher.start()
    lines = LogLines(document.identity, 0, make_redaction(places, document))
    service = LogService(publisher, lines)
    serving = asyncio.create_task(service.run())
    (tmp_path / "f").write_bytes(b"x" * 300_000)
    publisher.event("started", "Running")
    # Twice: the second one replaces an object, as a repeat after a lost answer does.
    for _ in range(2):
        files = (stored("f", tmp_path / "f"),)
        await asyncio.wait_for(publisher.deliver(files, b"{}"), 20)
    await asyncio.wait_for(publisher.events_sent(), 20)
    service.tell("1", "info", "hello")
    answer = await admin.request(f"workspace.logs.{TASK}.ask", b"{}", timeout=10)
    store = await admin.jetstream().object_store("agent-artifacts-team-a")
    kept = await store.list()
    await stop(publisher, serving)
    await admin.close()
    assert json.loads(answer.data)["lines"][0]["line"] == "hello"
    assert [entry.size for entry in kept] == [300_000]


async def stop(publisher: Publisher, serving: "asyncio.Task[None]") -> None:
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    await publisher.close()


@pytest.mark.parametrize(
    "subject",
    [
        "agent.results.team-b.x",
        f"agent.response.completed.{TASK}",
        f"agent.response.failed.{TASK}",
        f"context.updated.{TASK}",
        f"$KV.agent-context.default.{TASK}",
        "$KV.agent-runs.x",
        "agent.cmd.execute",
        "$JS.API.STREAM.DELETE.AGENT_RESULTS",
        "$O.agent-artifacts-team-b.M.x",
        "_INBOX_agenttask_operator.x",
    ],
)
async def test_they_are_no_more_than_enough(strict: NatsServer, subject: str):
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def complain(error: Exception) -> None:
        await refused.put(str(error))

    courier = await nats_py.connect(
        strict.url, user="courier", password="courier", error_cb=complain
    )
    await courier.publish(subject, b"{}")
    words = await asyncio.wait_for(refused.get(), 10)
    await courier.close()
    assert "permissions violation" in words.lower()
