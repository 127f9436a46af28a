"""Install AgentTask itself: resource definitions, operator, a default class."""

from collections.abc import Mapping
from typing import Any

from agenttask_testbed.chart import RELEASE, SYSTEM, Helm
from agenttask_testbed.commands import ROOT, Kubectl
from agenttask_testbed.services import namespace, wait_for

__all__ = ["SYSTEM", "default_class", "install_crds", "install_operator", "set_values"]


def install_crds(kubectl: Kubectl) -> None:
    """Apply both resource definitions and wait until the API server serves them."""
    for name in ("agenttask", "agentclass"):
        kubectl.apply((ROOT / "crds" / f"{name}.yaml").read_text("utf-8"))
    kubectl("wait", "--for=condition=Established", "--timeout=60s",
            "crd/agenttasks.agenttask.dev", "crd/agentclasses.agenttask.dev")  # fmt: skip


def install_operator(kubectl: Kubectl, values: Mapping[str, Any]) -> None:
    """Install the chart with values and restart the operator on changed images."""
    kubectl.apply(namespace(SYSTEM))
    set_values(kubectl, values)
    kubectl("-n", SYSTEM, "rollout", "restart", "deploy/agenttask-operator")
    wait_for(kubectl, SYSTEM, "agenttask-operator")


def set_values(kubectl: Kubectl, values: Mapping[str, Any]) -> None:
    """Have the chart's release be as the values say; operators follow if it is their matter."""
    # install_crds has brought the resource definitions already.
    # Of what is there without helm, it takes the ownership.
    adopt = ("--take-ownership", "--force-conflicts")
    Helm(kubectl, SYSTEM).apply(RELEASE, {**values, "crds": {"enabled": False}}, *adopt)


def default_class(endpoint: str, model: str, nats_url: str) -> dict[str, Any]:
    """Return the AgentClass that tasks without className use."""
    return {
        "apiVersion": "agenttask.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {
            "name": "default",
            "annotations": {"agenttask.dev/is-default-class": "true"},
        },
        "spec": {
            "model": {"endpoint": endpoint, "name": model},
            "nats": {"url": nats_url},
            "flushSeconds": 60,
        },
    }
