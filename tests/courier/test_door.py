"""The door under a hostile agent: caps, types, order, and no way to a 5xx."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.courier.conftest import MakeDocument
from tests.courier.pod import eventually
from tests.servers.vllm import MODEL, VLLM

from agenttask_api.door import MAX_EVENT_BYTES, DoorEvent, Receipt
from agenttask_api.result import MAX_REPORT_BYTES
from agenttask_courier import door as door_module
from agenttask_courier.door import Door, Pace
from agenttask_courier.doorroutes import openapi
from agenttask_courier.gate import Gate
from agenttask_courier.inbox import Inbox
from agenttask_courier.sockets import listen
from agenttask_courier.upstream import Upstream

REPORT = {"stopReason": "Completed"}


@dataclass
class Open:
    """An open door and somebody at it."""

    door: Door
    client: httpx.AsyncClient
    events: list[DoorEvent]


@pytest.fixture
async def opened(tmp_path: Path, vllm: VLLM, make_unreachable: MakeDocument) -> AsyncIterator[Open]:
    events: list[DoorEvent] = []
    upstream = Upstream(vllm.url)
    receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    gate = Gate(make_unreachable(), upstream, tmp_path / "no-key")
    door = Door(gate, Inbox(tmp_path / "incoming", 1000), events.append, receipt)
    socket = tmp_path / "door.sock"
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with (
        listen(door.app(), socket),
        httpx.AsyncClient(transport=transport, base_url="http://door", timeout=10) as client,
    ):
        door.inbox.attached.set()
        yield Open(door, client, events)
    await upstream.aclose()


async def test_second_lifeline_is_refused_and_eof_is_noticed(opened: Open):
    inbox = opened.door.inbox
    async with opened.client.stream("GET", "/lifeline") as first:
        assert first.status_code == 200
        assert inbox.attached.is_set()
        assert (await opened.client.get("/lifeline")).status_code == 409
        assert not inbox.gone.is_set()
    await eventually(inbox.gone.is_set)


async def test_nothing_is_answered_before_the_lifeline(opened: Open):
    opened.door.inbox.attached.clear()
    for method, path in (("POST", "/v1/chat/completions"), ("PUT", "/result"), ("GET", "/x")):
        answer = await opened.client.request(method, path, json=REPORT)
        assert answer.status_code == 409


async def test_chat_goes_through_and_errors_look_like_vllms(opened: Open):
    body = {"messages": [{"role": "user", "content": "hi"}]}
    answer = await opened.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    answer = await opened.client.post("/v1/chat/completions", json={**body, "stream": True})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "code"}


async def test_the_model_reads_what_the_gate_looked_at(opened: Open, vllm: VLLM):
    """Of two equal keys only the one that was checked goes on, whichever a peer would take."""
    asked = b"""{"stream": true, "n": 99, "messages": [{"content": [{"type": "image_url"}]}],
        "stream": false, "n": 1, "seed": 9007199254740993,
        "messages": [{"role": "user", "content": "\\ud83d\\ude00 \\u2028"}]}"""
    answer = await opened.client.post("/v1/chat/completions", content=asked)
    assert answer.status_code == 200
    assert vllm.calls[0].raw.count(b"messages") == 1
    said = [{"role": "user", "content": "\U0001f600 \u2028"}]
    assert vllm.calls[0].body == {
        "model": MODEL, "stream": False, "n": 1, "messages": said, "seed": 9007199254740993
    }  # fmt: skip


async def test_the_schema_can_be_asked_for(opened: Open):
    answer = await opened.client.get("/openapi.json")
    assert (answer.status_code, answer.json()) == (200, openapi())


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/metrics"), ("POST", "/v1/completions"), ("GET", "/v1/../metrics")],
)
async def test_unknown_routes_are_not_found(opened: Open, method: str, path: str):
    answer = await opened.client.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == 404


async def test_wrong_method_is_405(opened: Open):
    assert (await opened.client.post("/result", json=REPORT)).status_code == 405


async def test_result_is_taken_once_and_closes_the_gate(opened: Open):
    assert (await opened.client.put("/result", json=REPORT)).status_code == 202
    assert (await opened.client.put("/result", json=REPORT)).status_code == 409
    assert (await opened.client.put("/bundle", content=b"late")).status_code == 409
    assert (await opened.client.put("/artifacts/a", content=b"late")).status_code == 409
    assert opened.door.gate.closed.is_set()


async def test_receipt_waits_for_the_outcome(opened: Open):
    asking = asyncio.create_task(opened.client.get("/receipt"))
    await asyncio.wait({asking}, timeout=0.1)
    assert not asking.done()
    opened.door.receipt.set_result(Receipt(phase="Succeeded", reason="Completed"))
    assert (await asking).json()["phase"] == "Succeeded"


async def test_artifacts_are_capped_in_all_and_replaced_by_name(opened: Open):
    put = opened.client.put
    assert (await put("/artifacts/a.txt", content=b"x" * 600)).status_code == 201
    assert (await put("/artifacts/b.txt", content=b"x" * 600)).status_code == 413
    assert (await put("/artifacts/a.txt", content=b"y" * 900)).status_code == 201
    assert [f.size for f in opened.door.inbox.artifacts.values()] == [900]
    assert len(list(opened.door.inbox.folder.iterdir())) == 1


async def test_chunked_body_is_capped_as_it_comes(opened: Open):
    async def endless() -> AsyncIterator[bytes]:
        with contextlib.suppress(GeneratorExit):
            while True:
                yield b"x" * 100

    with contextlib.suppress(httpx.TransportError):
        answer = await opened.client.put("/artifacts/a.txt", content=endless())
        assert answer.status_code == 413
    await eventually(lambda: not list(opened.door.inbox.folder.iterdir()))


@pytest.mark.parametrize(
    "name", ["change.patch", "report.json", "..", "a b", "%2e%2e%2fx", "x" * 101]
)
async def test_bad_artifact_names_are_refused(opened: Open, name: str):
    answer = await opened.client.put(httpx.URL(f"http://door/artifacts/{name}"), content=b"x")
    assert answer.status_code in (400, 404, 405)
    assert not opened.door.inbox.artifacts


async def test_bundle_goes_to_a_file(opened: Open, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(door_module, "MAX_BUNDLE_BYTES", 10)
    assert (await opened.client.put("/bundle", content=b"x" * 11)).status_code == 413
    assert (await opened.client.put("/bundle", content=b"x" * 10)).status_code == 201
    assert opened.door.inbox.bundle
    assert opened.door.inbox.bundle.read_bytes() == b"x" * 10


@pytest.mark.parametrize(
    ("path", "method", "limit"),
    [("/events", "POST", MAX_EVENT_BYTES), ("/result", "PUT", MAX_REPORT_BYTES)],
)
async def test_large_bodies_are_refused(opened: Open, path: str, method: str, limit: int):
    answer = await opened.client.request(method, path, content=b" " * (limit + 1))
    assert answer.status_code == 413


async def test_events_are_passed_on_up_to_fifty_a_second(opened: Open):
    event = {"step": 1, "type": "decision", "message": "hm"}
    for _ in range(3):
        assert (await opened.client.post("/events", json=event)).status_code == 202
    assert [e.message for e in opened.events] == ["hm"] * 3


def test_pace_counts_what_it_drops():
    pace = Pace(2)
    assert [pace.admits(t) for t in (1.0, 1.1, 1.2, 2.0)] == [True, True, False, True]
    assert pace.dropped == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'"\\ud800"',
        b'{"step": 1, "type": "x", "data": {"a": NaN}}',
        b'{"step": 1, "type": "\\ud800"}',
        b'{"step": ' + b"9" * 5000 + b', "type": "x"}',
        b'{"step": 1, "type": "x", "data": {"a": ' + b"9" * 5000 + b"}}",
        b"null",
    ],
    ids=range(10),
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/events"),
        ("PUT", "/result"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/tokenize"),
    ],
)
async def test_malformed_json_is_a_clean_refusal(opened: Open, method: str, path: str, body: bytes):
    answer = await opened.client.request(method, path, content=body)
    assert 400 <= answer.status_code < 500 or answer.status_code == 202
    if answer.status_code != 202:
        assert answer.json()["error"]["message"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_BODIES = st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode())
_ROUTES = st.sampled_from(
    [
        ("POST", "/events"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/tokenize"),
        ("PUT", "/artifacts/a"),
        ("PUT", "/bundle"),
        ("PUT", "/result"),
    ]
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(route=_ROUTES, body=_BODIES)
async def test_random_bodies_never_give_a_5xx(opened: Open, route: tuple[str, str], body: bytes):
    answer = await opened.client.request(*route, content=body)
    assert answer.status_code < 500
