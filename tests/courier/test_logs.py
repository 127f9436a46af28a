"""Log lines on request, over a real NATS: nothing unasked, nothing secret, nothing stored."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from tests.courier.conftest import MakeDocument, Origin, write_files
from tests.courier.pod import running_pod
from tests.schemas import valid
from tests.servers.githttps import PASSWORD
from tests.servers.nats import NatsServer
from tests.servers.vllm import VLLM

import nats as nats_py
from agenttask_api.door import DoorEvent
from agenttask_api.logs import MAX_KEPT_LINES, LogLine, LogsAnswer
from agenttask_courier.loglines import MAX_LINES_AT_ONCE, LogLines, told
from agenttask_courier.logservice import LogService
from agenttask_courier.places import Places
from agenttask_courier.publish import Publisher
from agenttask_courier.redaction import make_redaction
from agenttask_courier.settings import Settings

LOGS = "workspace.logs.team-a.fix-add"
ASK = f"{LOGS}.ask"
GITHUB = "ghp_" + "a1B2" * 9


@pytest.fixture
def lines(places: Places, make_unreachable: MakeDocument) -> LogLines:
    document = make_unreachable()
    return LogLines(document.identity, 0, make_redaction(places, document))


@pytest.fixture
async def service(
    places: Places, nats: NatsServer, make_unreachable: MakeDocument, lines: LogLines
) -> AsyncIterator[LogService]:
    publisher = Publisher(Settings("http://x", nats.url, pod_uid="p"), make_unreachable(), places)
    publisher.start()
    made = LogService(publisher, lines)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await publisher.close()


async def ask(client: Client, **request: int) -> LogsAnswer:
    """Ask until the courier has subscribed."""
    for _ in range(100):
        try:
            reply = await client.request(ASK, json.dumps(request).encode(), timeout=2)
        except nats_py.errors.NoRespondersError:
            await asyncio.sleep(0.05)
        else:
            valid("workspace.logs.answer", reply.data)
            return LogsAnswer.model_validate_json(reply.data)
    raise AssertionError("nobody answers")


async def test_nothing_is_published_until_somebody_asks(service: LogService, nats: NatsServer):
    client = await nats_py.connect(nats.url)
    heard = await client.subscribe(LOGS)
    await ask(client, lines=0)
    service.tell("1", "info", "before")
    answer = await ask(client, lines=10, follow_seconds=60)
    service.tell("2", "info", "after\nand more")
    live = [LogLine.model_validate_json((await heard.next_msg(10)).data) for _ in range(2)]
    await client.close()
    assert [line.line for line in answer.lines] == ["before"]
    assert answer.following_seconds == 60
    assert [(line.seq, line.step, line.line) for line in live] == [
        (2, "2", "after"),
        (3, "2", "and more"),
    ]


async def test_an_end_of_asking_is_an_end_of_lines(service: LogService, nats: NatsServer):
    client = await nats_py.connect(nats.url)
    heard = await client.subscribe(LOGS)
    await ask(client, follow_seconds=0)
    service.tell("1", "info", "unheard")
    await ask(client, follow_seconds=60)
    service.tell("2", "info", "heard")
    first = LogLine.model_validate_json((await heard.next_msg(10)).data)
    await client.close()
    assert first.line == "heard"


async def test_a_bad_request_is_answered_with_words(service: LogService, nats: NatsServer):
    client = await nats_py.connect(nats.url)
    await ask(client)
    reply = await client.request(ASK, b'{"follow_seconds": 1e9}', timeout=5)
    again = await client.request(ASK, b"rubbish", timeout=5)
    empty = await client.request(ASK, b"", timeout=5)
    await client.close()
    assert "follow_seconds" in json.loads(reply.data)["error"]
    assert "JSON" in json.loads(again.data)["error"]
    assert json.loads(empty.data)["error"] == ""


async def test_only_an_inbox_is_answered(service: LogService, nats: NatsServer):
    """Else a stranger could have the courier publish where only the courier may."""
    client = await nats_py.connect(nats.url)
    forged = await client.subscribe("agent.results.>")
    await ask(client)
    await client.publish(ASK, b"{}", reply="agent.results.team-b.other")
    await ask(client)
    with pytest.raises(nats_py.errors.TimeoutError):
        await forged.next_msg(0.3)
    await client.close()


def test_secrets_are_masked_in_all_forms(lines: LogLines):
    encoded = base64.b64encode(f"agent:{PASSWORD}".encode()).decode()
    text = f"cloned with {PASSWORD}\nAuthorization: Basic {encoded}\nexport T={GITHUB}"
    found = " ".join(line.line for line in lines.take("1", "info", text))
    assert "cloned with" in found
    for secret in (PASSWORD, encoded[8:-8], GITHUB):
        assert secret not in found


def test_a_flood_pushes_out_no_more_than_its_share(lines: LogLines):
    lines.take("1", "info", "\n".join("x" * 10_000 for _ in range(1000)))
    kept = lines.newest(MAX_KEPT_LINES)
    assert len(kept) == MAX_LINES_AT_ONCE
    assert max(len(line.line) for line in kept) == 4000
    for _ in range(20):
        lines.take("2", "info", "\n".join("y" for _ in range(1000)))
    assert len(lines.newest(10_000)) == MAX_KEPT_LINES


def test_terminal_sequences_and_directions_do_not_pass(lines: LogLines):
    (line,) = lines.take("1", "info", "\x1b[2Jgone\u202e\x07")
    assert line.line == "gone"


def test_levels_come_from_what_the_agent_says():
    assert told(DoorEvent(step=3, type="error", message="m")) == ("3", "error", "error: m")
    assert told(DoorEvent(step=0, type="model_call", data={"b": 1, "a": 2})) == (
        "0",
        "debug",
        "model_call a=2 b=1",
    )


def test_log_lines_of_the_agent_are_told_as_they_are():
    assert told(DoorEvent(step=2, type="log", message="a\nb")) == ("2", "info", "a\nb")


async def test_log_lines_go_to_who_asks_masked_and_are_no_progress(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    client = await nats_py.connect(nats.url)
    write_files(places.model_secret, {"key": "sk-this-is-the-key"})
    said = {"step": 2, "type": "log", "message": "[tests.pytest: failed]\nE  sk-this-is-the-key"}
    after = {"step": 3, "type": "decision", "message": "next"}
    async with running_pod(places, make_document(), vllm.url, nats.url) as pod:
        await pod.agent.attach()
        progress = await client.subscribe("agent.response.progress.team-a.fix-add")
        await ask(client, follow_seconds=60)
        heard = await client.subscribe(LOGS)
        await client.flush()
        for body in (said, after):
            assert (await pod.agent.door.post("/events", json=body)).status_code == 202
        lines = [valid("workspace.logs", (await heard.next_msg(10)).data) for _ in range(3)]
        event = valid("agent.response", (await progress.next_msg(10)).data)
    await client.close()
    assert [line["line"] for line in lines] == [
        "[tests.pytest: failed]",
        "E  <secret-hidden>",
        "decision: next",
    ]
    assert lines[0]["step"] == "2"
    assert event["message"] == "next"


async def test_log_lines_take_no_event_its_place(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        pod.courier.telling.pace.per_second = 0
        body = {"step": 1, "type": "log", "message": "a line of a tool"}
        assert (await pod.agent.door.post("/events", json=body)).status_code == 202
        assert pod.courier.telling.pace.dropped == 0
        assert pod.courier.telling.log_service.lines.newest(1)[0].line == "a line of a tool"
        event = {"step": 1, "type": "decision", "message": "hm"}
        assert (await pod.agent.door.post("/events", json=event)).status_code == 202
        assert pod.courier.telling.pace.dropped == 1


async def test_a_run_tells_its_story_to_who_asks(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    client = await nats_py.connect(nats.url)
    write_files(places.model_secret, {"key": "sk-this-is-the-key"})
    async with running_pod(places, make_document(), vllm.url, nats.url) as pod:
        await pod.agent.attach()
        await ask(client, follow_seconds=60)
        heard = await client.subscribe(LOGS)
        progress = await client.subscribe("agent.response.progress.team-a.fix-add")
        await client.flush()
        body = {"step": 1, "type": "decision", "message": "the key is sk-this-is-the-key"}
        assert (await pod.agent.door.post("/events", json=body)).status_code == 202
        line = valid("workspace.logs", (await heard.next_msg(10)).data)
        event = valid("agent.response", (await progress.next_msg(10)).data)
        pod.agent.commit({"a.py": "1\n"})
        await pod.agent.hand_in()
        await pod.agent.receipt()
        story = [entry.line for entry in (await ask(client)).lines]
    await client.close()
    assert (line["step"], line["level"]) == ("1", "info")
    assert line["line"] == "decision: the key is <secret-hidden>"
    assert event["message"] == "the key is <secret-hidden>"
    assert story[-1].startswith("Succeeded: Completed")
    assert any("the courier begins" in entry for entry in story)
