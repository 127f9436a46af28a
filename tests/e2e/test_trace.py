"""One trace from apply to push on the real cluster, nothing of it by default, and no collector."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.tasks import (
    PYTEST,
    Home,
    condition,
    eventually,
    host_address,
    pods,
    task,
    until,
)
from tests.e2e.traces import below, of, root_of, tree
from tests.servers.otlp import attributes, collecting

from agenttask_api import names
from agenttask_api.tracing import ENV_ENDPOINT
from agenttask_testbed import product
from agenttask_testbed.chart import SYSTEM
from agenttask_testbed.commands import Kubectl
from agenttask_testbed.demo import REHEARSAL_MODEL, WHERE
from agenttask_testbed.services import GitAccess, wait_for

log = logging.getLogger(__name__)

HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'
SLOW = "Take your time and add the greeting to utils.py."
OPERATOR = ("-l", "app.kubernetes.io/name=agenttask-operator")
ATTEMPT = "agenttask.attempt"
STEPS = {f"agenttask.{step}" for step in ("clone", "intake", "policy", "verify", "push")}
OPERATORS = {"agenttask.wait", "agenttask.start"}
EXPORTS = "print('google/_upb' in open('/proc/1/maps').read())"
"""Whether a container's first process has the one library of OpenTelemetry's that is mapped."""


@pytest.fixture(scope="module")
def address(testbed: Kubectl) -> tuple[str, int]:
    """Where a collector is reached by pods; nobody listens there."""
    host = host_address(testbed)
    with socket.create_server((host, 0)) as probe:
        return host, probe.getsockname()[1]


@pytest.fixture(scope="module")
def traced(
    testbed: Kubectl, operator_values: dict[str, Any], address: tuple[str, int]
) -> Iterator[str]:
    """The testbed's operator with the one value that switches traces on; returns that value."""
    url = f"http://{address[0]}:{address[1]}"
    operator = {"env": {ENV_ENDPOINT: url}, "replicas": 1}
    install(testbed, {**operator_values, "operator": operator}, 1)
    yield url
    install(testbed, operator_values, 2)


def install(testbed: Kubectl, values: dict[str, Any], replicas: int) -> None:
    """Upgrade the testbed's release, and wait until none of the operators before it is left."""
    product.set_values(testbed, values)
    wait_for(testbed, SYSTEM, "agenttask-operator")
    until_alone(testbed, replicas)


def until_alone(testbed: Kubectl, replicas: int) -> None:
    """Wait until no operator of before the last change of values is left."""

    def alone() -> bool:
        found = testbed.get("-n", SYSTEM, "pods", *OPERATOR)["items"]
        left = [pod for pod in found if pod["status"]["phase"] not in ("Succeeded", "Failed")]
        return len(left) == len(operators(testbed)) == replicas

    eventually(alone, 60, "the old operators to end")


def operators(testbed: Kubectl) -> list[str]:
    """Return the pods of operators that are at work and stay."""
    found = testbed.get("-n", SYSTEM, "pods", *OPERATOR)["items"]
    return [
        pod["metadata"]["name"]
        for pod in found
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def exports(kubectl: Kubectl, namespace: str, pod: str, container: str) -> bool:
    """Say whether the container's first process has OpenTelemetry's exporter in memory."""
    inside = ("exec", pod, "-c", container, "--", "python", "-c", EXPORTS)
    return kubectl("-n", namespace, *inside).strip() == "True"


def environments(pod: dict[str, Any]) -> dict[str, set[str]]:
    """Return the names of each container's variables."""
    containers = [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]
    return {c["name"]: {e["name"] for e in c.get("env", [])} for c in containers}


def document_of(pod: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(pod["metadata"]["annotations"][names.TASK_ANNOTATION]))


def check_usage(chats: list[dict[str, Any]], run: Any, usage: dict[str, int]) -> None:
    """Assert that the calls say what the conventions want, and together what the status says."""
    assert {c["gen_ai.operation.name"] for c in chats} == {"chat"}
    assert {c["gen_ai.request.model"] for c in chats} == {REHEARSAL_MODEL}
    assert len(chats) == usage["modelCalls"]
    for side in ("input", "output"):
        name, counted = f"gen_ai.usage.{side}_tokens", usage[f"{side}Tokens"]
        assert sum(c[name] for c in chats) == attributes(run)[name] == counted


def test_by_default_nothing_is_traced_and_nothing_of_it_is_loaded(
    home: Home, testbed: Kubectl
) -> None:
    at_work = operators(testbed)
    assert at_work
    assert not any(exports(testbed, SYSTEM, pod, "operator") for pod in at_work)
    home.apply(task("untraced", SLOW))
    until(home, "untraced", phase="Running", reason="Running")
    (pod,) = pods(home, "untraced")

    name = pod["metadata"]["name"]
    assert not any(exports(testbed, home.namespace, name, c) for c in ("courier", "agent"))
    variables = set().union(*environments(pod).values())
    assert not [v for v in variables if v.startswith("OTEL") or "TRACEPARENT" in v]
    assert document_of(pod)["traceparent"] == ""


def test_one_trace_leads_from_apply_to_push(
    home: Home, traced: str, address: tuple[str, int], testbed: Kubectl, git_access: GitAccess
) -> None:
    with collecting(*address) as collector:
        home.apply(task("traced", HELLO, verify=[PYTEST]))
        found = home.get("agenttask", "traced")
        trace = found["metadata"]["uid"].replace("-", "")
        state = until(home, "traced", phase="Succeeded", verdict="Verified")
        wanted = {"agenttask.run", ATTEMPT}
        eventually(lambda: wanted <= {s.name for s in of(collector.spans, trace)}, 60, "both ends")
        every, bodies = list(collector.spans), list(collector.bodies)
    spans = of(every, trace)
    log.info("%s", tree(spans))

    # Of a task that was there before, as another test may have left, the operator tells its own.
    assert {s.name for s in every if s not in spans} <= {"agenttask.run", *OPERATORS}
    of_task = ("events", "--for", "agenttask/traced")
    eventually(lambda: f"; trace {trace}" in home.run(*of_task), 30, "the trace in an Event")
    assert exports(testbed, SYSTEM, operators(testbed)[0], "operator")

    run = root_of(spans)
    assert run.name == "agenttask.run"
    assert below(spans, "agenttask.run") == {*OPERATORS, ATTEMPT}
    tools = {name for name in below(spans, ATTEMPT) if name.startswith("execute_tool ")}
    assert below(spans, ATTEMPT) - tools == STEPS | {f"chat {REHEARSAL_MODEL}"}
    calls = [attributes(s) for s in spans if s.name in tools]
    assert {c["gen_ai.operation.name"] for c in calls} == {"execute_tool"}
    assert len(calls) == state["operations"]["total"] > 0
    check_usage([attributes(s) for s in spans if s.name.startswith("chat ")], run, state["usage"])

    branch = found["spec"]["output"]["branch"]
    host = f"git.{WHERE}"
    secret = (git_access.password, "hello_world", "Hello, World", "utils.py", host, branch)
    assert not [word for word in secret if any(word.encode() in body for body in bodies)]
    (pod,) = pods(home, "traced")
    told_where = {name for name, env in environments(pod).items() if ENV_ENDPOINT in env}
    assert told_where == {names.CLONE, names.COURIER}


def test_a_collector_that_is_away_changes_nothing(home: Home, traced: str) -> None:
    home.apply(task("alone", HELLO, verify=[PYTEST]))

    state = until(home, "alone", phase="Succeeded", verdict="Verified")

    (pod,) = pods(home, "alone")
    assert document_of(pod)["traceparent"]
    assert state["reason"] == "Completed"
    assert state["artifacts"]["filesChanged"] == ["utils.py"]
    assert len(state["attempts"]) == 1
    assert condition(state, "EventsPublished")["status"] == "True"
    assert condition(state, "ArtifactsStored")["status"] == "True"
