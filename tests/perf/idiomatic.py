"""The operator most people would write, to compare ours with: `kopf run -n NAMESPACE idiomatic.py`.

A handler for creation, the official client, the status by return value. Its Jobs fit no node,
as those of the measured tasks.
"""

from typing import Any

import kopf
import kubernetes

kubernetes.config.load_kube_config()
BATCH = kubernetes.client.BatchV1Api()


@kopf.on.login()
def login(**kwargs: Any) -> Any:
    """Log in as KUBECONFIG says."""
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.create("agenttask.dev", "v1alpha1", "agenttasks")
def create(name: str, namespace: str | None, patch: kopf.Patch, **_: Any) -> dict[str, str]:
    """Create the Job."""
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"agenttask.dev/nowhere": "true"},
        "containers": [{"name": "agent", "image": "none"}],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
    kopf.adopt(job)
    BATCH.create_namespaced_job(namespace, job)
    patch.status["phase"] = "Running"
    return {"job": name}
