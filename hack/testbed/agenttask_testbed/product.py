"""Install AgentTask itself: resource definitions, operator, a default class."""

from typing import Any

from agenttask_testbed.commands import ROOT, Kubectl
from agenttask_testbed.services import config_map, wait_for

SYSTEM = "agenttask-system"


def install_crds(kubectl: Kubectl) -> None:
    """Apply both resource definitions and wait until the API server serves them."""
    for name in ("agenttask", "agentclass"):
        kubectl.apply((ROOT / "crds" / f"{name}.yaml").read_text("utf-8"))
    kubectl("wait", "--for=condition=Established", "--timeout=60s",
            "crd/agenttasks.agenttask.dev", "crd/agentclasses.agenttask.dev")  # fmt: skip


def install_operator(kubectl: Kubectl, settings: dict[str, str]) -> None:
    """Apply hack/install.yaml with settings and restart the operator on changed images."""
    kubectl.apply((ROOT / "hack" / "install.yaml").read_text("utf-8"))
    kubectl.apply(config_map("agenttask-operator", settings), namespace=SYSTEM)
    kubectl("-n", SYSTEM, "rollout", "restart", "deploy/agenttask-operator")
    wait_for(kubectl, SYSTEM, "agenttask-operator")


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
