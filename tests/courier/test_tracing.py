"""What a collector hears of an attempt: its steps and model calls, and none of its words."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from tests.courier.conftest import MakeDocument, Origin
from tests.courier.pod import POD_UID, eventually, running_pod
from tests.servers.nats import free_port
from tests.servers.otlp import Collector, attributes, collecting
from tests.servers.vllm import VLLM

from agenttask_api import names
from agenttask_api.door import DoorEvent, ToolCall
from agenttask_api.tracing import ENV_ENDPOINT, part_span_id, run_span_id, traceparent
from agenttask_courier.__main__ import main
from agenttask_courier.clonespan import open_attempt
from agenttask_courier.otlp import FLUSH, Pipe
from agenttask_courier.places import Places
from agenttask_courier.toolspans import ToolSpans
from agenttask_courier.tracing import NOWHERE, Spans, Times, open_spans

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
):
    document = make_document(verify=[CHECK], traceparent=PARENT, prompt="prompt-words")
    write(places, document)
    spans = open_attempt(pod_environment(collector.url), places)
    async with running_pod(places, document, vllm.url, spans=spans) as pod:
        await pod.agent.attach()
        await pod.agent.ask(messages=[{"role": "user", "content": "asked-words"}])
        vllm.faults.append((400, b'{"message": "refused-words"}'))
        await pod.agent.ask()
        await pod.agent.door.post("/events", json=tool_event("files.read_file"))
        pod.agent.commit(FIX)
        await pod.agent.hand_in(message="summary-words")
        assert (await pod.agent.receipt())["phase"] == "Succeeded"
        await eventually(lambda: bool(collector.named("agenttask.attempt")))

    assert {s.trace_id.hex() for s in collector.spans} == {PARENT.split("-")[1]}
    (own,) = collector.named("agenttask.attempt")
    assert own.parent_span_id.hex() == run_span_id(UID, KEY)
    identity = document.identity
    assert own.span_id.hex() == part_span_id(identity.uid, identity.run_key, POD_UID)
    (tool,) = collector.named("execute_tool files.read_file")
    assert tool.parent_span_id == own.span_id
    for step in ("intake", "policy", "verify", "push"):
        (span,) = collector.named(f"agenttask.{step}")
        assert span.parent_span_id == own.span_id
        assert own.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    good, bad = collector.named(f"chat {document.model.name}")
    under = [f"00-{s.trace_id.hex()}-{s.span_id.hex()}-01" for s in (good, bad)]
    assert [call.traceparent for call in vllm.calls] == under
    said = attributes(good)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.request.model"] == document.model.name
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (10, 5)
    assert attributes(bad)["error.type"] == "400"
    for words in (b"asked-words", b"prompt-words", b"refused-words", b"summary-words"):
        assert not any(words in body for body in collector.bodies)
    assert not any(b"checked-words" in body for body in collector.bodies)


def test_clone_is_told_by_the_courier_that_follows(
    places: Places, origin: Origin, make_document: MakeDocument, collector: Collector, monkeypatch
):
    write(places, make_document(traceparent=PARENT))
    monkeypatch.setenv(ENV_ENDPOINT, collector.url)
    assert main(["--root", str(places.task.parent), "clone"]) == 0
    assert collector.spans == []
    open_attempt(pod_environment(collector.url), places).close()
    (span,), (own,) = collector.named("agenttask.clone"), collector.named("agenttask.attempt")
    assert span.parent_span_id == own.span_id
    assert own.start_time_unix_nano == span.start_time_unix_nano
    assert span.end_time_unix_nano <= own.end_time_unix_nano
    assert "error.type" not in attributes(span)
    assert json.dumps(attributes(span)).count("https://") == 0


def test_clone_that_has_failed_tells_itself(
    places: Places, origin: Origin, make_document: MakeDocument, collector: Collector, monkeypatch
):
    document = make_document(traceparent=PARENT)
    repo = document.repo.model_copy(update={"revision": "no-such-branch"})
    write(places, document.model_copy(update={"repo": repo}))
    monkeypatch.setenv(ENV_ENDPOINT, collector.url)
    assert main(["--root", str(places.task.parent), "clone"]) == 1
    (span,), (own,) = collector.named("agenttask.clone"), collector.named("agenttask.attempt")
    assert span.parent_span_id == own.span_id
    assert own.parent_span_id.hex() == run_span_id(UID, KEY)
    assert attributes(span)["error.type"] == "exit 1"
    assert not any(b"no-such-branch" in body for body in collector.bodies)


def test_courier_that_is_started_again_goes_on_with_the_same_attempt(
    places: Places, make_document: MakeDocument, collector: Collector
):
    write(places, make_document(traceparent=PARENT))
    places.clone_times.write_text('{"began": 1000, "ended": 2000}', "utf-8")
    first = open_attempt(pod_environment(collector.url), places)
    first.begin("chat").end()
    places.attached_mark.touch()
    second = open_attempt(pod_environment(collector.url), places)
    second.begin("agenttask.push").end()
    second.close()
    first.close()
    one, two = collector.named("agenttask.attempt")
    assert one.span_id == two.span_id
    assert one.start_time_unix_nano == two.start_time_unix_nano == 1000
    children = [s for s in collector.spans if s.name != "agenttask.attempt"]
    assert sorted(s.name for s in children) == ["agenttask.clone", "agenttask.push", "chat"]
    assert {s.parent_span_id for s in children} == {one.span_id}


@pytest.mark.parametrize(
    ("call", "name", "error"),
    [
        ({}, "files.read_file", None),
        ({"success": False}, "files.read_file", "failed"),
        ({"success": False, "denied": True}, "files.read_file", "denied"),
        ({"operation": "the secret word"}, "unknown", None),
        ({"operation": "files." + "x" * 100}, "unknown", None),
    ],
)
def test_tool_is_told_by_its_form(
    places: Places, make_document: MakeDocument, collector: Collector, call, name, error
):
    spans = spans_of(places, make_document, collector.url)
    ToolSpans(spans, 1).tell(DoorEvent.model_validate(tool_event(**call)))
    spans.close()
    (span,) = collector.named(f"execute_tool {name}")
    said = attributes(span)
    assert said["gen_ai.operation.name"] == "execute_tool"
    assert said["gen_ai.tool.name"] == name
    assert said.get("error.type") == error


@pytest.mark.parametrize("nonsense", [{}, {"operation": "a.b", "success": "yes"}, {"prompt": "x"}])
def test_what_is_no_tool_call_is_forgotten(nonsense):
    told: list[str] = []
    ToolSpans(listening(told), 9).tell(DoorEvent(step=1, type="tool", data=nonsense))
    assert told == []


def test_an_agent_tells_no_more_tools_than_its_task_may_use():
    told: list[str] = []
    tools = ToolSpans(listening(told), 2)
    for _ in range(5):
        tools.tell(DoorEvent.model_validate(tool_event()))
    assert told == ["execute_tool files.read_file"] * 2


@pytest.mark.parametrize("times", [(0, 10**30), (10**30, 0), (-(10**30), -1)])
def test_times_that_are_told_lie_within_the_attempt(
    places: Places, make_document: MakeDocument, collector: Collector, times
):
    spans = spans_of(places, make_document, collector.url)
    spans.tell("x", Times(*times), {})
    spans.close()
    (span,), (own,) = collector.named("x"), collector.named("agenttask.attempt")
    around = (own.start_time_unix_nano, span.start_time_unix_nano, span.end_time_unix_nano)
    assert sorted(around) == list(around)
    assert span.end_time_unix_nano <= own.end_time_unix_nano


def test_collector_whose_answer_never_ends_is_left(places: Places, make_document: MakeDocument):
    """Each byte is in time, so no limit of the exporter's own ends this."""
    with never_ending() as url:
        spans = spans_of(places, make_document, url)
        spans.begin("one").end()
        spans.close()
        assert FLUSH in [thread.name for thread in threading.enumerate()]


def test_collector_that_took_nothing_before_is_not_waited_for():
    exporter = Stubborn()
    pipe = Pipe(exporter, {}, 1, batch=0.01)
    pipe.tracer.start_span("one").end()
    assert exporter.tried.wait(60)
    exporter.tried.clear()
    pipe.tracer.start_span("two").end()
    # One that waited would run into the test's own limit.
    pipe.flush(3600)
    exporter.go_on.set()
    assert exporter.batches >= 1


def test_collector_that_is_away_changes_no_exit_code(
    places: Places, origin: Origin, make_document: MakeDocument, monkeypatch
):
    write(places, make_document(traceparent=PARENT))
    monkeypatch.setenv(ENV_ENDPOINT, f"http://127.0.0.1:{free_port()}")
    assert main(["--root", str(places.task.parent), "clone"]) == 0


def test_without_endpoint_or_parent_nothing_is_told(places: Places, make_document: MakeDocument):
    write(places, make_document())
    assert open_spans({}, places.task_file, 0) is NOWHERE
    assert open_attempt({}, places) is NOWHERE
    assert open_spans({ENV_ENDPOINT: "http://127.0.0.1:9"}, places.task_file, 0) is NOWHERE


def test_image_without_opentelemetry_says_so_and_works(places: Places, make_document: MakeDocument):
    write(places, make_document(traceparent=PARENT))
    said = in_a_process(WITHOUT_PACKAGES, str(places.task_file))
    assert said[-1] == "nowhere"
    assert json.loads(said[0])["event"] == "tracing.missing"


@pytest.mark.parametrize(
    "module",
    ["agenttask_courier.serve", "agenttask_courier.clone", "agenttask_agent.run",
     "agenttask_operator.handlers"],
)  # fmt: skip
def test_opentelemetry_is_not_imported_unless_it_is_needed(module: str):
    assert in_a_process(IMPORTED, module) == ["[]"]


IMPORTED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print([name for name in sys.modules if name.startswith(("opentelemetry", "google.protobuf"))])
"""
WITHOUT_PACKAGES = """
import sys
sys.modules["opentelemetry"] = None
from pathlib import Path
from agenttask_courier.tracing import NOWHERE, open_spans
environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
print("nowhere" if open_spans(environment, Path(sys.argv[1]), 0) is NOWHERE else "somewhere")
"""


def in_a_process(program: str, *arguments: str) -> list[str]:
    """Return the lines that a program in a process of its own prints."""
    argv: Sequence[str] = (sys.executable, "-c", program, *arguments)
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        argv, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class Stubborn(SpanExporter):
    """Refuses the first batch, and never gets ready with the others."""

    def __init__(self) -> None:
        self.batches = 0
        self.tried, self.go_on = threading.Event(), threading.Event()

    def export(self, _spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches += 1
        if self.batches > 1:
            self.go_on.wait()
        self.tried.set()
        return SpanExportResult.FAILURE


@contextmanager
def never_ending() -> Iterator[str]:
    """Serve an answer of one header line that goes on and on."""
    over = threading.Event()

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not over.wait(0.2):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        over.set()
        thread.join()


def listening(told: list[str]) -> Spans:
    """Return spans that only say their names."""

    class Listening(Spans):
        def tell(self, name: str, *_: Any) -> None:
            told.append(name)

    return Listening()


def spans_of(places: Places, make_document: MakeDocument, url: str) -> Spans:
    """Return the spans of an attempt that has begun a minute ago."""
    write(places, make_document(traceparent=PARENT))
    return open_spans(pod_environment(url), places.task_file, time.time_ns() - 60 * 10**9)


def pod_environment(url: str) -> dict[str, str]:
    return {ENV_ENDPOINT: url, names.ENV_POD_UID: POD_UID}


def tool_event(operation: str = "files.read_file", **call: Any) -> dict[str, Any]:
    """Return what the agent posts of one call of a tool."""
    now = time.time_ns()
    given = {"began_ns": now - 10**6, "ended_ns": now, "success": True, **call}
    return {"step": 1, "type": "tool", "data": ToolCall(operation=operation, **given).model_dump()}
