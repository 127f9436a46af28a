"""The door against requests made from its own schema by schemathesis: good ones and bad ones.

On a TCP port of 127.0.0.1, since schemathesis speaks to no unix socket; the application is
the same. The lifeline is left out: its answer never ends.
"""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from tests.courier.conftest import document_of
from tests.servers.vllm import VLLM, vllm_server

from agenttask_api.door import Receipt
from agenttask_courier.databases import make_handler
from agenttask_courier.door import Door
from agenttask_courier.doorroutes import DATABASE_ROUTE, ROUTES, openapi
from agenttask_courier.gate import Gate
from agenttask_courier.inbox import Inbox
from agenttask_courier.upstream import Upstream

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
TYPED = ("/events", "/result", "/db/")
"""Where everything else is refused; elsewhere there are bytes, or the model server judges."""
EXAMPLES = 40
SCHEMA = schemathesis.openapi.from_dict(openapi()).exclude(path="/lifeline")


@dataclass
class Served:
    """A door on a port, as good as new for every request."""

    door: Door
    url: str = ""

    def renew(self) -> None:
        inbox = self.door.inbox
        inbox.report, inbox.bundle, inbox.closed = None, None, False
        inbox.artifacts.clear()
        self.door.gate.closed.clear()
        self.door._uploads = 0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve in a thread with an event loop of its own; the tests here are not asynchronous."""
    with vllm_server() as upstream, asyncio.Runner() as runner:
        ready: Future[Served] = Future()
        ended = asyncio.Event()
        folder = tmp_path_factory.mktemp("door")
        thread = threading.Thread(target=runner.run, args=(serve(folder, upstream, ready, ended),))
        thread.start()
        yield ready.result(20)
        runner.get_loop().call_soon_threadsafe(ended.set)
        thread.join(20)


async def serve(folder: Path, upstream: VLLM, ready: Future[Served], ended: asyncio.Event) -> None:
    receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    receipt.set_result(Receipt(phase="Succeeded", reason="Completed"))
    document = document_of("https://git.invalid/x.git", constraints={"maxModelTokens": 10**8})
    client = Upstream(upstream.url)
    gate = Gate(document, client, folder / "no-key")
    door = Door(gate, Inbox(folder / "incoming", 1000), lambda _: None, receipt, make_handler([]))
    door.inbox.attached.set()
    runner = web.AppRunner(door.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    ready.set_result(Served(door, f"http://{host}:{port}"))
    await ended.wait()
    await runner.cleanup()
    await client.aclose()


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_the_door_answers_as_its_schema_says(case: schemathesis.Case[Any], served: Served) -> None:
    served.renew()
    response = case.call(base_url=served.url, timeout=20)
    typed = case.operation.path.startswith(TYPED)
    wanted = [*CHECKS, *([checks.negative_data_rejection] if typed else [])]
    case.validate_response(response, checks=wanted)


def test_every_request_that_is_routed_is_in_the_schema(served: Served) -> None:
    paths = openapi()["paths"]
    said = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    routed = {(r.method, r.resource.canonical) for r in served.door.app().router.routes()}  # type: ignore[union-attr]
    assert routed == said == {(r.method, r.path) for r in (*ROUTES, DATABASE_ROUTE)}
