"""Build the Job that runs one AgentTask once.

Pure: the same order always gives the same manifest. Containers are trust zones
(docs/contract.md): who may see what is decided by the mounts in `_clone`,
`_verifier`, `_courier` and `_agent`, and by nothing else. Retries are denied unless
a container asks for one with exit code 75, since every retry is paid for.
"""

from typing import Any

from agenttask_api import names
from agenttask_api.agentclass import Pod
from agenttask_api.schema import API_VERSION
from agenttask_api.spec import Resources
from agenttask_api.tracing import ENV_ENDPOINT
from agenttask_operator.order import Order
from agenttask_operator.taskdoc import write_document
from agenttask_operator.volumes import (
    build_volumes,
    database_mounts,
    git_mounts,
    mount,
    own_mounts,
    service_mounts,
)

Object = dict[str, Any]

MIN_TTL_SECONDS = 300
"""A finished Job stays at least this long, or its outcome would be deleted unread
whenever the operator is away for a moment."""

SMALL: Object = {
    "requests": {"cpu": "20m", "memory": "64Mi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}
"""Of clone and courier: little while they wait, enough for git on a large repository."""


def build_job(order: Order) -> Object:
    """Return the manifest."""
    identity = order.document.identity
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": order.job_name,
            "namespace": identity.namespace,
            "labels": _job_labels(order),
            "annotations": {names.UNRECORDED_ANNOTATION: "true"} if order.unrecorded else {},
            "ownerReferences": [_owner(order)],
        },
        "spec": {
            # With a queue it waits for Kueue, which sets this to false when it has room.
            "suspend": bool(order.task.queue.name),
            "backoffLimit": order.granted.retries,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules()},
            "ttlSecondsAfterFinished": max(order.task.ttl_seconds_after_finished, MIN_TTL_SECONDS),
            "template": {"metadata": _pod_metadata(order), "spec": _pod_spec(order)},
        },
    }


def _labels(order: Order) -> dict[str, str]:
    identity = order.document.identity
    return {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.LABEL_TASK: identity.name,
        names.LABEL_TASK_UID: identity.uid,
        names.LABEL_RUN_KEY: identity.run_key,
        names.LABEL_ROLE: order.document.role.value,
        names.LABEL_CLASS: names.class_label(order.class_name),
    }


def _job_labels(order: Order) -> dict[str, str]:
    queue = order.task.queue.name
    return _labels(order) | ({names.LABEL_QUEUE: queue} if queue else {})


def _owner(order: Order) -> Object:
    identity = order.document.identity
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentTask",
        "name": identity.name,
        "uid": identity.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _failure_rules() -> list[Object]:
    """The first rule that matches decides; every rule names its container."""
    return [
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        *(_fail_unless_temporary(container) for container in (names.CLONE, names.AGENT)),
    ]


def _fail_unless_temporary(container: str) -> Object:
    return {
        "action": "FailJob",
        "onExitCodes": {
            "containerName": container,
            "operator": "NotIn",
            "values": [names.EX_TEMPFAIL],
        },
    }


def _pod_metadata(order: Order) -> Object:
    pod = order.class_.pod
    return {
        "labels": {**pod.labels, **_labels(order)},
        "annotations": {
            **pod.annotations,
            names.TASK_ANNOTATION: write_document(order.document),
            "kubectl.kubernetes.io/default-container": names.AGENT,
        },
    }


def _pod_spec(order: Order) -> Object:
    granted, clocks = order.granted, order.document.clocks
    verifier = [_verifier(order)] if order.document.verify else []
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": granted.start_deadline_seconds
        + clocks.run_seconds
        + clocks.flush_seconds
        + clocks.grace_seconds,
        "terminationGracePeriodSeconds": names.GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [_clone(order), *verifier, _courier(order)],
        "containers": [_agent(order)],
        "volumes": build_volumes(order),
        **_placement(order.class_.pod),
    }


def _placement(pod: Pod) -> Object:
    """Where the pod runs and as whom, as the class has it; what it leaves out is left out."""
    wanted: Object = {
        "serviceAccountName": pod.service_account_name,
        "runtimeClassName": pod.runtime_class_name,
        "priorityClassName": pod.priority_class_name,
        "nodeSelector": dict(pod.node_selector),
        "tolerations": [{k: v for k, v in t.to_api().items() if v != ""} for t in pod.tolerations],
        "imagePullSecrets": [ref.to_api() for ref in pod.image_pull_secrets],
    }
    return {key: value for key, value in wanted.items() if value}


def _clone(order: Order) -> Object:
    return {
        **_container(names.CLONE, ["agenttask-courier", "clone"], order.agent_image),
        "env": [*_common_env(order), *_pod_env(), *_tracing_env(order)],
        "resources": SMALL,
        "volumeMounts": [
            *own_mounts(names.CLONE),
            mount("pristine", names.PRISTINE_DIR),
            mount("workspace", names.WORKSPACE_DIR),
            mount("task", names.TASK_DIR, read_only=True),
            *git_mounts(order),
        ],
    }


def _verifier(order: Order) -> Object:
    return {
        **_container(names.VERIFIER, ["agenttask-courier", "verifier"], _toolchain(order)),
        "restartPolicy": "Always",
        "env": _common_env(order),
        "resources": _resources(order.granted.resources),
        "volumeMounts": [
            *own_mounts(names.VERIFIER),
            mount("checkout", names.CHECKOUT_DIR),
            mount("vdoor", names.VERIFIER_DOOR_DIR),
            mount("task", names.TASK_DIR, read_only=True),
        ],
    }


def _courier(order: Order) -> Object:
    drain = {"exec": {"command": ["agenttask-courier", "drain"]}}
    return {
        **_container(names.COURIER, ["agenttask-courier", "serve"], order.agent_image),
        "restartPolicy": "Always",
        "env": [*_common_env(order), *_pod_env(), *_courier_env(order), *_tracing_env(order)],
        "resources": SMALL,
        "lifecycle": {"preStop": drain},
        "volumeMounts": [
            *own_mounts(names.COURIER),
            mount("pristine", names.PRISTINE_DIR),
            mount("workspace", names.WORKSPACE_DIR, read_only=True),
            mount("checkout", names.CHECKOUT_DIR),
            mount("door", names.DOOR_DIR),
            mount("vdoor", names.VERIFIER_DOOR_DIR),
            mount("task", names.TASK_DIR, read_only=True),
            *git_mounts(order),
            *service_mounts(order),
            *database_mounts(order),
        ],
    }


def _agent(order: Order) -> Object:
    return {
        **_container(names.AGENT, ["agenttask-agent", "run"], _toolchain(order)),
        "env": _common_env(order),
        "resources": _resources(order.granted.resources),
        "volumeMounts": [
            *own_mounts(names.AGENT),
            mount("workspace", names.WORKSPACE_DIR),
            mount("door", names.DOOR_DIR, read_only=True),
            mount("task", names.TASK_DIR, read_only=True),
        ],
    }


def _container(name: str, command: list[str], image: str) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "securityContext": _security(),
        "terminationMessagePolicy": "File",
    }


def _security() -> Object:
    """Pod Security `restricted`; no user, since the image's numeric one must be kept."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _toolchain(order: Order) -> str:
    return order.granted.toolchain_image or order.agent_image


def _resources(resources: Resources) -> Object:
    return {"requests": dict(resources.requests), "limits": dict(resources.limits)}


def _common_env(order: Order) -> list[Object]:
    return [
        _env(names.ENV_TASK_ID, order.document.identity.task_id),
        _env("HOME", names.HOME_DIR),
        _env("TMPDIR", names.TMP_DIR),
    ]


def _pod_env() -> list[Object]:
    return [
        _from_field(names.ENV_POD_NAME, "metadata.name"),
        _from_field(names.ENV_POD_UID, "metadata.uid"),
    ]


def _courier_env(order: Order) -> list[Object]:
    nats = order.class_.nats.url or order.nats_url
    return [
        _env(names.ENV_VLLM_URL, order.class_.model.endpoint),
        _env(names.ENV_CLUSTER, order.cluster_id),
        *([_env(names.ENV_NATS_URL, nats)] if nats else []),
    ]


def _tracing_env(order: Order) -> list[Object]:
    return [_env(ENV_ENDPOINT, order.otlp_endpoint)] if order.otlp_endpoint else []


def _env(name: str, value: str) -> Object:
    return {"name": name, "value": value}


def _from_field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
