"""The one place that talks to a cluster, with the user's own kubeconfig.

Every failure becomes a ClusterError whose text says what to do. Nothing here decides
or prints.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from agenttask_api import names
from agenttask_api.schema import GROUP, VERSION

MANAGER = "agenttask-cli"
REQUEST_SECONDS = 30.0
WATCH_SECONDS = 300
"""Length of one watch request; a longer wait asks again."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
Object = dict[str, Any]


class ClusterError(Exception):
    """The cluster could not be asked, or said no."""


@dataclass(frozen=True)
class Where:
    """Which cluster and namespace, as kubectl would choose them."""

    context: str = ""
    namespace: str = ""


class Cluster:
    """One cluster, seen from one namespace."""

    def __init__(self, where: Where) -> None:
        """Read the kubeconfig (KUBECONFIG or ~/.kube/config); raises ClusterError."""
        try:
            config.load_kube_config(context=where.context or None)
            _, active = config.list_kube_config_contexts()
            contexts = {c["name"]: c for c in config.list_kube_config_contexts()[0]}
        except (ConfigException, OSError) as error:
            raise ClusterError(f"no cluster: {error}; set KUBECONFIG or --context") from error
        chosen = contexts.get(where.context) or active
        usual = chosen.get("context", {}).get("namespace") or "default"
        self.namespace = where.namespace or usual
        self._api = client.ApiClient()
        self._objects = client.CustomObjectsApi(self._api)
        self._core = client.CoreV1Api(self._api)

    def apply_task(self, manifest: Object, namespace: str) -> Object:
        """Create or change the task by server-side apply, as `kubectl apply --server-side`."""
        with _explained():
            return self._patch(
                manifest, manifest["metadata"]["name"], namespace, _APPLY,
                field_manager=MANAGER, field_validation="Strict",
            )  # fmt: skip

    def cancel_task(self, name: str) -> None:
        """Set spec.cancel, the one-way switch."""
        with _explained():
            body = {"spec": {"cancel": True}}
            self._patch(body, name, self.namespace, _MERGE, field_manager=MANAGER)

    def task(self, name: str, namespace: str = "") -> Object:
        """Return the task as stored."""
        with _explained(f"AgentTask {name!r}"):
            found: Object = self._objects.get_namespaced_custom_object(
                GROUP, VERSION, namespace or self.namespace, "agenttasks", name,
                _request_timeout=REQUEST_SECONDS,
            )  # fmt: skip
            return found

    def changes(self, name: str, namespace: str = "") -> Iterator[Object]:
        """Yield the task now and at every change, until the caller stops or it is deleted."""
        where = namespace or self.namespace
        while True:
            found = self.task(name, where)
            yield found
            version = found["metadata"]["resourceVersion"]
            for event in self._watched(name, where, version):
                if event["type"] == "DELETED":
                    raise ClusterError(f"AgentTask {name!r} was deleted")
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]

    def pods(self, name: str) -> list[Object]:
        """Return the task's pods, the oldest first."""
        selector = f"{names.LABEL_TASK}={name}"
        with _explained():
            listed = self._core.list_namespaced_pod(
                self.namespace, label_selector=selector, _request_timeout=REQUEST_SECONDS
            )
        found: list[Object] = [self._api.sanitize_for_serialization(pod) for pod in listed.items]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def log(self, pod: str, container: str, follow: bool) -> Iterator[str]:
        """Yield the container's log, line by line; with `follow` to its end."""
        with _explained(f"container {container!r} of pod {pod!r}"):
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=container, follow=follow, _preload_content=False
            )
            for line in answer:
                yield line.decode("utf-8", "replace").rstrip("\n")

    def classes(self) -> list[Object]:
        """Return all AgentClasses; raises ClusterError where the resource is not known."""
        with _explained("AgentClass"):
            found = self._objects.list_cluster_custom_object(
                GROUP, VERSION, "agentclasses", _request_timeout=REQUEST_SECONDS
            )
        return list(found["items"])

    def known_resources(self) -> set[str]:
        """Return the plurals that the API group serves; empty = it is not installed."""
        try:
            with _explained():
                found = self._objects.get_api_resources(
                    GROUP, VERSION, _request_timeout=REQUEST_SECONDS
                )
        except ClusterError as error:
            if "not found" in str(error):
                return set()
            raise
        return {r.name for r in found.resources if "/" not in r.name}

    def operators(self) -> list[Object]:
        """Return the operator's Deployments in all namespaces."""
        with _explained():
            listed = client.AppsV1Api(self._api).list_deployment_for_all_namespaces(
                _request_timeout=REQUEST_SECONDS
            )
        found = [self._api.sanitize_for_serialization(d) for d in listed.items]
        return [d for d in found if _is_operator(d)]

    def _watched(self, name: str, namespace: str, version: str) -> Iterator[Object]:
        with _explained():
            yield from watch.Watch().stream(
                self._objects.list_namespaced_custom_object, GROUP, VERSION, namespace,
                "agenttasks", field_selector=f"metadata.name={name}", resource_version=version,
                timeout_seconds=WATCH_SECONDS,
            )  # fmt: skip

    def _patch(self, body: Object, name: str, namespace: str, kind: str, **more: str) -> Object:
        found: Object = self._objects.patch_namespaced_custom_object(
            GROUP, VERSION, namespace, "agenttasks", name, body,
            _content_type=kind, _request_timeout=REQUEST_SECONDS, **more,
        )  # fmt: skip
        return found


def _is_operator(deployment: Object) -> bool:
    labels = deployment["metadata"].get("labels") or {}
    wanted = "agenttask-operator"
    return wanted in (labels.get("app.kubernetes.io/name"), deployment["metadata"]["name"])


@contextlib.contextmanager
def _explained(what: str = "") -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise ClusterError(_words(error, what)) from error
    except (HTTPError, OSError) as error:
        raise ClusterError(f"the cluster cannot be reached: {type(error).__name__}") from error


def _words(error: ApiException, what: str) -> str:
    """Return the API server's own sentence, or its status."""
    if error.status == 404 and what:
        return f"{what} not found"
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        reason = (error.reason or "").lower()
        return f"the cluster answers {error.status} {reason}".rstrip()
