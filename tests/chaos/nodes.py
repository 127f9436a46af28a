"""Nodes without a kubelet: objects that pods are bound to, so that nodes can go wrong."""

from tests.chaos.harness import Api, Object

TAINT = "agenttask.dev/no-kubelet"


class Node:
    """A node object; nothing runs on it but what a test says."""

    def __init__(self, api: Api, name: str, pods: int) -> None:
        """Create it with room for so many pods."""
        self._api, self.name = api, name
        taints = [{"key": TAINT, "effect": "NoSchedule"}]
        metadata = {"name": name, "labels": {TAINT: name}}
        api.request("POST", "/api/v1/nodes", {"metadata": metadata, "spec": {"taints": taints}})
        room = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": str(pods)}
        ready = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        status = {"capacity": room, "allocatable": room, "conditions": ready}
        api.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": status})

    def bind(self, pod: Object) -> None:
        """Put a pod on it, as a scheduler does."""
        target = {"apiVersion": "v1", "kind": "Node", "name": self.name}
        body = {"metadata": {"name": pod["metadata"]["name"]}, "target": target}
        self._api.request("POST", f"{path_of(pod)}/binding", body)

    def lose(self) -> None:
        """Have the control plane evict all of its pods, as from a node that went away."""
        taints = [{"key": TAINT, "effect": "NoExecute"}]
        self._api.request("PATCH", f"/api/v1/nodes/{self.name}", {"spec": {"taints": taints}})

    def remove(self) -> None:
        self._api.request("DELETE", f"/api/v1/nodes/{self.name}")


def path_of(pod: Object) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def drain(api: Api, pod: Object) -> None:
    """Evict the pod by the eviction API, as `kubectl drain` does."""
    metadata = {k: pod["metadata"][k] for k in ("name", "namespace")}
    api.request("POST", f"{path_of(pod)}/eviction", {"metadata": metadata})


def preempt(api: Api, node: Node, space: str) -> None:
    """Make a more important pod for the node, so that the scheduler makes room for it."""
    spec = {
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {TAINT: node.name},
        "tolerations": [{"key": TAINT, "operator": "Exists"}],
        "containers": [{"name": "c", "image": "none"}],
        "terminationGracePeriodSeconds": 0,
    }
    body = {"metadata": {"name": "important"}, "spec": spec}
    api.request("POST", f"/api/v1/namespaces/{space}/pods", body)
