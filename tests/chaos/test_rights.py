"""The rights that the chart gives are enough for all that the operator does."""

from pathlib import Path

import yaml
from tests.chaos.harness import Api, kubeconfig
from tests.e2e.tasks import eventually

from agenttask_testbed.chart import SYSTEM, render
from agenttask_testbed.commands import Kubectl
from agenttask_testbed.services import namespace

RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")

NETWORK = {"NETWORK_EGRESS": "[]"}
"""Policies are made, as the chart has it."""


def going(api: Api) -> list[str]:
    found = [item["metadata"] for item in api.items("/api/v1/namespaces")]
    return [m["name"] for m in found if m.get("deletionTimestamp")]


def test_service_account_may_do_all_that_the_operator_does(
    api: Api, crds: Kubectl, space: str, operator, tmp_path: Path
) -> None:
    crds.apply(namespace(SYSTEM))
    documents = filter(None, yaml.safe_load_all(render({})))
    crds.apply(*(found for found in documents if found["kind"] in RIGHTS))
    token = crds("-n", SYSTEM, "create", "token", "agenttask-operator").strip()
    config = kubeconfig(tmp_path / "config", api.server, api.ca, token)
    # In a namespace that is going the API server forbids to create anything, whatever the rights.
    eventually(lambda: not going(api), 120, "earlier tests' namespaces to go")
    # All namespaces, as installed: the rights are the cluster's.
    one = operator("one", KUBECONFIG=str(config), LEASE_NAMESPACE=SYSTEM, NAMESPACES="", **NETWORK)
    one.start()
    one.ready()
    eventually(lambda: api.holder(SYSTEM).startswith("one"), 30, "it to lead")
    api.make_task(space, "done")
    api.all_end(space, 1)
    api.make_task(space, "stopped")
    path = f"/apis/agenttask.dev/v1alpha1/namespaces/{space}/agenttasks/stopped"
    api.request("PATCH", path, {"spec": {"cancel": True}})
    eventually(lambda: api.phases(space)["Cancelled"] == 1, 30, "the Job to be deleted")
    classes = "/apis/agenttask.dev/v1alpha1/agentclasses/chaos"
    eventually(
        lambda: api.get(classes).get("status", {}).get("observedGeneration", -1) > 0,
        30,
        "the class's status",
    )
    assert api.items(f"/api/v1/namespaces/{space}/events?fieldSelector=reason=JobCreated")
    assert api.items(f"/apis/networking.k8s.io/v1/namespaces/{space}/networkpolicies")
    assert 'code="403"' not in one.asked("/metrics")[1]
    assert token not in one.log.read_text("utf-8")
