"""The span of a whole run: told at its end, under the ids that its pod was given."""

import json

import pytest
from tests.operator.builders import DEFAULTS, NOW, UID, first, make_facts, make_task
from tests.servers.otlp import attributes, collecting

from agenttask_api import names
from agenttask_api.tracing import ENV_ENDPOINT, traceparent
from agenttask_operator.actions import CreateJob
from agenttask_operator.facts import Defaults
from agenttask_operator.planner import plan
from agenttask_operator.settings import BadSetting, read_settings
from agenttask_operator.tracing import open_traces

FINAL = {
    "phase": "Failed",
    "reason": "VerificationFailed",
    "verdict": "Rejected",
    "message": "message-words",
    "run": {
        "id": "1",
        "key": "1-abc",
        "number": 1,
        "acceptedTime": "2026-11-23T11:59:10Z",
        "completionTime": "2026-11-23T12:00:10Z",
    },
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
        (span,) = collector.spans
    assert f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" == traceparent(UID, "1-abc")
    assert span.parent_span_id == b""
    # From the creation of the task, a minute before NOW, to ten seconds after NOW.
    assert span.end_time_unix_nano - span.start_time_unix_nano == 70 * 10**9
    said = attributes(span)
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (120, 30)
    assert (said["agenttask.phase"], said["agenttask.reason"]) == ("Failed", "VerificationFailed")
    assert not any(w in collector.bodies[0] for w in (b"prompt-words", b"message-words"))


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
