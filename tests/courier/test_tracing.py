"""What a collector hears of an attempt: its steps and model calls, and none of its words."""

import json
import sys

import pytest
from tests.courier.conftest import MakeDocument, Origin
from tests.courier.pod import eventually, running_pod
from tests.servers.nats import free_port
from tests.servers.otlp import Collector, attributes, collecting
from tests.servers.vllm import VLLM

from agenttask_api.tracing import ENV_ENDPOINT, run_span_id, traceparent
from agenttask_courier.__main__ import main
from agenttask_courier.places import Places
from agenttask_courier.tracing import NOWHERE, open_spans

FIX = {"src/calc.py": "def add(a, b):\n    return a + b\n"}
UID, KEY = "6a5c1f2e-0000-4000-8000-000000000001", "1-abc"
PARENT = traceparent(UID, KEY)
CHECK = {"name": "tests", "run": [sys.executable, "-c", "print('checked-words')"]}


@pytest.fixture
def collector():
    with collecting() as server:
        yield server


def write(places: Places, document) -> None:
    places.task_file.write_text(document.model_dump_json(by_alias=True), "utf-8")


async def test_one_attempt_is_one_branch_of_the_runs_trace(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    vllm: VLLM,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
):
    document = make_document(verify=[CHECK], traceparent=PARENT, prompt="prompt-words")
    write(places, document)
    monkeypatch.setenv(ENV_ENDPOINT, collector.url)
    spans = open_spans({ENV_ENDPOINT: collector.url}, places.task_file, "agenttask.attempt")
    async with running_pod(places, document, vllm.url, spans=spans) as pod:
        await pod.agent.attach()
        await pod.agent.ask(messages=[{"role": "user", "content": "asked-words"}])
        vllm.faults.append((400, b'{"message": "refused-words"}'))
        await pod.agent.ask()
        pod.agent.commit(FIX)
        await pod.agent.hand_in(message="summary-words")
        assert (await pod.agent.receipt())["phase"] == "Succeeded"
        await eventually(lambda: bool(collector.named("agenttask.attempt")))

    assert {s.trace_id.hex() for s in collector.spans} == {PARENT.split("-")[1]}
    (own,) = collector.named("agenttask.attempt")
    assert own.parent_span_id.hex() == run_span_id(UID, KEY)
    for step in ("intake", "policy", "verify", "push"):
        (span,) = collector.named(f"agenttask.{step}")
        assert span.parent_span_id == own.span_id
        assert own.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    good, bad = collector.named(f"chat {document.model.name}")
    said = attributes(good)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.request.model"] == document.model.name
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (10, 5)
    assert attributes(bad)["error.type"] == "400"
    for words in (b"asked-words", b"prompt-words", b"refused-words", b"summary-words"):
        assert not any(words in body for body in collector.bodies)
    assert not any(b"checked-words" in body for body in collector.bodies)


def test_clone_is_a_span_of_its_own(
    places: Places, origin: Origin, make_document: MakeDocument, collector: Collector, monkeypatch
):
    write(places, make_document(traceparent=PARENT))
    monkeypatch.setenv(ENV_ENDPOINT, collector.url)
    assert main(["--root", str(places.task.parent), "clone"]) == 0
    (span,) = collector.named("agenttask.clone")
    assert span.parent_span_id.hex() == run_span_id(UID, KEY)
    assert "error.type" not in attributes(span)
    assert json.dumps(attributes(span)).count("https://") == 0


def test_collector_that_is_away_changes_no_exit_code(
    places: Places, origin: Origin, make_document: MakeDocument, monkeypatch
):
    write(places, make_document(traceparent=PARENT))
    monkeypatch.setenv(ENV_ENDPOINT, f"http://127.0.0.1:{free_port()}")
    assert main(["--root", str(places.task.parent), "clone"]) == 0


def test_without_endpoint_or_parent_nothing_is_told(places: Places, make_document: MakeDocument):
    write(places, make_document())
    assert open_spans({}, places.task_file, "x") is NOWHERE
    assert open_spans({ENV_ENDPOINT: "http://127.0.0.1:9"}, places.task_file, "x") is NOWHERE
