"""The span of a whole run: told at its end, under the ids that its pod was given."""

import json
import os
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
from tests.operator.builders import DEFAULTS, NOW, UID, first, make_facts, make_task
from tests.servers.otlp import attributes, collecting

from agenttask_api import names
from agenttask_api.tracing import ENV_ENDPOINT, traceparent
from agenttask_operator.actions import CreateJob, EmitEvent
from agenttask_operator.facts import Defaults
from agenttask_operator.planner import plan
from agenttask_operator.runspans import spans_of
from agenttask_operator.settings import BadSetting, read_settings
from agenttask_operator.tracing import FLUSH, open_traces

RUN = {
    "id": "1",
    "key": "1-abc",
    "number": 1,
    "acceptedTime": "2026-11-23T11:59:10Z",
    "startTime": "2026-11-23T11:59:30Z",
    "completionTime": "2026-11-23T12:00:10Z",
}
FINAL: dict[str, Any] = {
    "phase": "Failed",
    "reason": "VerificationFailed",
    "verdict": "Rejected",
    "message": "message-words",
    "run": RUN,
    "usage": {"inputTokens": 120, "outputTokens": 30},
}


def pod_of(defaults):
    job = first(plan(make_facts(defaults=defaults), NOW), CreateJob).manifest
    template = job["spec"]["template"]
    document = json.loads(template["metadata"]["annotations"][names.TASK_ANNOTATION])
    containers = [*template["spec"]["initContainers"], *template["spec"]["containers"]]
    env = {c["name"]: {e["name"] for e in c["env"]} for c in containers}
    return document, {name for name, variables in env.items() if ENV_ENDPOINT in variables}


def test_run_is_told_once_with_its_times_and_its_tokens():
    with collecting() as collector:
        traces = open_traces(collector.url)
        assert traces
        traces.ended(make_task(FINAL, prompt="prompt-words"))
        traces.close()
        (span,) = collector.named("agenttask.run")
    assert f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" == traceparent(UID, "1-abc")
    assert span.parent_span_id == b""
    # From the creation of the task, a minute before NOW, to the end of the tenth second after NOW.
    assert span.end_time_unix_nano - span.start_time_unix_nano == 71 * 10**9
    said = attributes(span)
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (120, 30)
    assert (said["agenttask.phase"], said["agenttask.reason"]) == ("Failed", "VerificationFailed")
    assert not any(w in collector.bodies[0] for w in (b"prompt-words", b"message-words"))


def test_waiting_and_starting_are_told_below_the_run():
    with collecting() as collector:
        traces = open_traces(collector.url)
        assert traces
        for _ in range(2):
            traces.ended(make_task(FINAL))
        traces.close()
    (run, _), (wait, again), (start, _) = (
        collector.named(f"agenttask.{name}") for name in ("run", "wait", "start")
    )
    assert wait.span_id == again.span_id
    assert len({run.span_id, wait.span_id, start.span_id}) == 3
    assert {s.trace_id for s in collector.spans} == {run.trace_id}
    assert {wait.parent_span_id, start.parent_span_id} == {run.span_id}
    assert run.start_time_unix_nano == wait.start_time_unix_nano
    assert wait.end_time_unix_nano == start.start_time_unix_nano
    assert start.end_time_unix_nano - start.start_time_unix_nano == 20 * 10**9


def test_run_ends_no_later_than_now():
    now = NOW.replace(second=10, microsecond=500_000)
    found = spans_of(make_task(FINAL), now)
    assert found
    assert found.end == now


def test_later_run_begins_with_its_own_job():
    found = spans_of(make_task({**FINAL, "run": {**RUN, "number": 2}}), NOW)
    assert found
    assert [part.name for part in found.parts] == ["agenttask.start"]
    assert found.start == found.parts[0].start


def test_end_that_was_another_tasks_is_not_told():
    old = {
        "acceptedTime": "2026-11-20T11:59:10Z",
        "startTime": "2026-11-20T11:59:30Z",
        "completionTime": "2026-11-20T12:00:10Z",
    }
    assert spans_of(make_task({**FINAL, "run": {**RUN, **old}}), NOW) is None


def test_collector_that_never_answers_does_not_hold_the_end_back():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traces = open_traces(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert traces
        traces.ended(make_task(FINAL))
        traces._provider.force_flush = threading.Event().wait  # type: ignore[attr-defined]
        traces.close()
    # One that waited for it would run into the test's own limit.
    assert any(thread.name == FLUSH for thread in threading.enumerate())


def test_traced_run_names_its_trace_where_it_begins():
    defaults = Defaults("agent:dev", otlp_endpoint="http://otel:4318")
    told = first(plan(make_facts(defaults=defaults), NOW), EmitEvent).message
    assert told.endswith(f"; trace {traceparent(UID, 'x').split('-')[1]}")
    assert "trace" not in first(plan(make_facts(defaults=DEFAULTS), NOW), EmitEvent).message


def test_operator_without_the_packages_does_not_start():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'agenttask[otel]', or unset it" in done.stdout


WITHOUT_PACKAGES = """
import sys
sys.modules["opentelemetry"] = None
from agenttask_operator.errors import TracingMissing
from agenttask_operator.tracing import open_traces
try:
    open_traces("http://127.0.0.1:9")
except TracingMissing as error:
    print(error)
"""


def test_task_that_never_had_a_run_is_not_told():
    with collecting() as collector:
        traces = open_traces(collector.url)
        assert traces
        traces.ended(make_task())
        traces.close()
        assert collector.spans == []


def test_pod_is_given_its_place_in_the_trace_and_only_the_trusted_half_the_collector():
    document, told = pod_of(Defaults("agent:dev", otlp_endpoint="http://otel:4318"))
    assert document["traceparent"] == traceparent(UID, document["identity"]["runKey"])
    assert told == {names.CLONE, names.COURIER}


def test_nothing_is_traced_unless_it_is_configured():
    document, told = pod_of(DEFAULTS)
    assert document["traceparent"] == ""
    assert told == set()
    assert open_traces("") is None
    assert read_settings({"AGENT_IMAGE": "a"}).otlp_endpoint == ""


def test_bad_endpoint_is_refused_by_name():
    with pytest.raises(BadSetting, match=ENV_ENDPOINT):
        read_settings({"AGENT_IMAGE": "a", ENV_ENDPOINT: "otel:4318"})
