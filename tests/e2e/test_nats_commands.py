"""Commands by NATS on the real API server: it judges the tenant, who is impersonated."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.tasks import PYTEST, Home, jobs, status, task, until
from tests.e2e.test_run import HELLO

from agenttask_api import names
from agenttask_testbed import product, services
from agenttask_testbed.commands import ROOT, Kubectl
from agenttask_testbed.demo import NATS_URL

A, B = "e2e-tenant-a", "e2e-tenant-b"
CONTEXT = [{"taskRef": {"name": "first"}}]


@pytest.fixture(scope="module")
def tenants(testbed: Kubectl, git_access: services.GitAccess) -> Iterator[tuple[Home, Home]]:
    """Two tenants; the second may be impersonated, and may do nothing."""
    manifests = (ROOT / "examples" / "tenant.yaml").read_text("utf-8")
    for namespace in (A, B):
        testbed.apply(services.namespace(namespace))
        testbed.apply(manifests, namespace=namespace)
    testbed("-n", B, "delete", "rolebinding", "agenttask-tenant")
    services.grant_git(testbed, A, git_access)
    yield Home(testbed, A), Home(testbed, B)
    testbed("delete", "namespace", A, B, "--wait=false")


def send(kubectl: Kubectl, *commands: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Send commands at the same time and return their replies."""
    script = (ROOT / "hack" / "testbed" / "send_commands.py").read_text("utf-8")
    inside = ("-n", product.SYSTEM, "exec", "-i", "deploy/agenttask-operator", "--", "python", "-")
    replies = kubectl(*inside, NATS_URL, json.dumps(commands), stdin=script)
    found: list[dict[str, Any]] = json.loads(replies)
    return found


def spec(name: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = task(name, HELLO, verify=[PYTEST], **more)["spec"]
    return found


def test_tasks_by_message_one_with_the_others_record_then_reports(tenants: tuple[Home, Home]):
    home, _ = tenants
    replies = send(
        home.kubectl,
        ("agent.cmd.execute.a", {"name": "second", "spec": spec("second", contextFrom=CONTEXT)}),
        ("agent.cmd.execute.a", {"name": "first", "spec": spec("first")}),
        ("agent.cmd.execute.a", {"name": "first", "spec": {"prompt": "x", "repo": {"url": "x"}}}),
    )
    assert [reply["ok"] for reply in replies] == [True, True, False]
    assert replies[2]["reason"] == "InvalidCommand"

    first = until(home, "first", phase="Succeeded", verdict="Verified")
    second = until(home, "second", phase="Succeeded")
    home.run("delete", "agenttask", "first")
    told, left = send(
        home.kubectl,
        ("agent.cmd.report.a", {"task_id": "second"}),
        ("agent.cmd.report.a", {"task_id": f"{A}.first"}),
    )

    (job,) = jobs(home, "second")
    text = job["spec"]["template"]["metadata"]["annotations"][names.TASK_ANNOTATION]
    context = json.loads(text)["context"]
    assert context.startswith(f"## Task first\n\nTask {A}.first, run 1: Succeeded (Verified)")
    assert first["artifacts"]["commitSHA"] in context
    assert first["run"]["completionTime"] <= second["run"]["startTime"]
    assert told["status"]["artifacts"]["commitSHA"] == second["artifacts"]["commitSHA"]
    assert told["result"]["success"] is True
    assert left["status"] is None
    assert left["record"]["commit"] == first["artifacts"]["commitSHA"]
    assert left["record"]["decisions"]


def test_the_api_server_judges_the_tenant(tenants: tuple[Home, Home]):
    a, b = tenants
    held = spec("held", suspend=True)
    created, refused, elsewhere, theirs, stopped = send(
        a.kubectl,
        ("agent.cmd.execute.a", {"name": "held", "spec": held}),
        ("agent.cmd.execute.b", {"name": "held", "spec": held}),
        ("agent.cmd.execute.a", {"name": "held", "namespace": B, "spec": held}),
        ("agent.cmd.stop.a", {"task_id": f"{B}.held"}),
        ("agent.cmd.stop.a", {"task_id": "held"}),
    )
    assert created["ok"]
    assert (refused["ok"], refused["reason"]) == (False, "Forbidden")
    user = f"system:serviceaccount:{B}:agenttask-tenant"
    assert f'User "{user}" cannot create resource "agenttasks"' in refused["message"]
    assert (elsewhere["ok"], elsewhere["reason"]) == (False, "InvalidCommand")
    assert (theirs["ok"], theirs["reason"]) == (False, "Forbidden")
    assert stopped["ok"]
    assert until(a, "held", 30, phase="Cancelled")["reason"] == "Cancelled"
    assert not b.get("agenttasks")["items"]
    assert status(a, "held")["run"]["key"]
    letter = read_letter(a.kubectl)
    assert letter["topic"].startswith("agent.cmd.")
    assert letter["reason"] in ("Forbidden", "InvalidCommand")


def read_letter(kubectl: Kubectl) -> dict[str, Any]:
    script = (ROOT / "hack" / "testbed" / "read_result.py").read_text("utf-8")
    inside = ("-n", product.SYSTEM, "exec", "-i", "deploy/agenttask-operator", "--", "python", "-")
    found: dict[str, Any] = json.loads(kubectl(*inside, NATS_URL, "agent.deadletter", stdin=script))
    return found


@pytest.mark.parametrize("account", ["default", "agenttask-operator"])
def test_the_operator_may_act_as_nobody_else(tenants: tuple[Home, Home], account: str):
    home, _ = tenants
    operator = "system:serviceaccount:agenttask-system:agenttask-operator"
    asked = ("auth", "can-i", "impersonate", "-n", A, "--as", operator)
    assert home.kubectl(*asked, "serviceaccounts/agenttask-tenant").strip() == "yes"
    with pytest.raises(Exception, match="no"):
        home.kubectl(*asked, f"serviceaccounts/{account}")
