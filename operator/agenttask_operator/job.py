"""Build the Job that runs one AgentTask once.

Pure: the same order always gives the same manifest. Containers are trust zones
(docs/contract.md): who may see what is decided by the mounts in `_clone`,
`_verifier`, `_courier` and `_agent`, and by nothing else. Retries are denied unless
a container asks for one with exit code 75, since every retry is paid for.
"""

from dataclasses import dataclass
from typing import Any

from agenttask_api import names
from agenttask_api.agentclass import AgentClassSpec, Pod
from agenttask_api.schema import API_VERSION
from agenttask_api.spec import AgentTaskSpec, Resources
from agenttask_api.taskdocument import TaskDocument
from agenttask_operator.admission import Granted
from agenttask_operator.taskdoc import write_document

Object = dict[str, Any]

MIN_TTL_SECONDS = 300
"""A finished Job stays at least this long, or its outcome would be deleted unread
whenever the operator is away for a moment."""

SECRET_MODE = 0o440
SMALL: Object = {
    "requests": {"cpu": "20m", "memory": "64Mi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}
"""Of clone and courier: little while they wait, enough for git on a large repository."""


@dataclass(frozen=True)
class Order:
    """Everything a Job is made from."""

    document: TaskDocument
    task: AgentTaskSpec
    class_: AgentClassSpec
    granted: Granted
    agent_image: str
    nats_url: str
    """Of the operator; the class's own wins."""
    cluster_id: str

    @property
    def job_name(self) -> str:
        """The one name that a Job of this run can have."""
        identity = self.document.identity
        return names.job_name(identity.name, identity.uid, identity.run_key)


def build_job(order: Order) -> Object:
    """Return the manifest."""
    identity = order.document.identity
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": order.job_name,
            "namespace": identity.namespace,
            "labels": _labels(order),
            "ownerReferences": [_owner(order)],
        },
        "spec": {
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
    }


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
        "volumes": _volumes(order),
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
        "env": [*_common_env(order), *_pod_env()],
        "resources": SMALL,
        "volumeMounts": [
            *_own_mounts(names.CLONE),
            _mount("pristine", names.PRISTINE_DIR),
            _mount("workspace", names.WORKSPACE_DIR),
            _mount("task", names.TASK_DIR, read_only=True),
            *_git_mounts(order),
        ],
    }


def _verifier(order: Order) -> Object:
    return {
        **_container(names.VERIFIER, ["agenttask-courier", "verifier"], _toolchain(order)),
        "restartPolicy": "Always",
        "env": _common_env(order),
        "resources": _resources(order.granted.resources),
        "volumeMounts": [
            *_own_mounts(names.VERIFIER),
            _mount("checkout", names.CHECKOUT_DIR),
            _mount("vdoor", names.VERIFIER_DOOR_DIR),
            _mount("task", names.TASK_DIR, read_only=True),
        ],
    }


def _courier(order: Order) -> Object:
    drain = {"exec": {"command": ["agenttask-courier", "drain"]}}
    return {
        **_container(names.COURIER, ["agenttask-courier", "serve"], order.agent_image),
        "restartPolicy": "Always",
        "env": [*_common_env(order), *_pod_env(), *_courier_env(order)],
        "resources": SMALL,
        "lifecycle": {"preStop": drain},
        "volumeMounts": [
            *_own_mounts(names.COURIER),
            _mount("pristine", names.PRISTINE_DIR),
            _mount("workspace", names.WORKSPACE_DIR, read_only=True),
            _mount("checkout", names.CHECKOUT_DIR),
            _mount("door", names.DOOR_DIR),
            _mount("vdoor", names.VERIFIER_DOOR_DIR),
            _mount("task", names.TASK_DIR, read_only=True),
            *_git_mounts(order),
            *_service_mounts(order),
        ],
    }


def _agent(order: Order) -> Object:
    return {
        **_container(names.AGENT, ["agenttask-agent", "run"], _toolchain(order)),
        "env": _common_env(order),
        "resources": _resources(order.granted.resources),
        "volumeMounts": [
            *_own_mounts(names.AGENT),
            _mount("workspace", names.WORKSPACE_DIR),
            _mount("door", names.DOOR_DIR, read_only=True),
            _mount("task", names.TASK_DIR, read_only=True),
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


def _env(name: str, value: str) -> Object:
    return {"name": name, "value": value}


def _from_field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _mount(volume: str, path: str, read_only: bool = False) -> Object:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _own_mounts(container: str) -> list[Object]:
    """Temporary files, home and shared memory; the default /dev/shm is the pod's, so shared."""
    return [
        _mount(f"tmp-{container}", names.TMP_DIR),
        _mount(f"home-{container}", names.HOME_DIR),
        _mount(f"shm-{container}", names.SHM_DIR),
    ]


def _git_mounts(order: Order) -> list[Object]:
    repo = order.task.repo
    mounts = [_mount("git", names.GIT_SECRET_DIR, read_only=True)] if repo.credentials_ref else []
    return mounts + ([_mount("git-ca", names.GIT_CA_DIR, read_only=True)] if repo.ca_ref else [])


def _service_mounts(order: Order) -> list[Object]:
    model, nats = order.class_.model, order.class_.nats
    wanted = [
        ("model", names.MODEL_SECRET_DIR, model.api_key_secret_ref),
        ("nats-creds", names.NATS_CREDS_DIR, nats.creds_secret_ref),
        ("nats-tls", names.NATS_TLS_DIR, nats.tls_secret_ref),
    ]
    return [_mount(volume, path, read_only=True) for volume, path, ref in wanted if ref]


def _volumes(order: Order) -> list[Object]:
    size = order.task.limits.workspace_size
    verifier = [names.VERIFIER] if order.document.verify else []
    return [
        _empty("workspace", size),
        _empty("pristine", size),
        _empty("checkout", size),
        _empty("door", "16Mi"),
        _empty("vdoor", "16Mi"),
        _task_volume(),
        *(v for c in (names.CLONE, *verifier, names.COURIER, names.AGENT) for v in _own(c)),
        *_secret_volumes(order),
    ]


def _own(container: str) -> list[Object]:
    return [
        _empty(f"tmp-{container}", "4Gi"),
        _empty(f"home-{container}", "4Gi"),
        _empty(f"shm-{container}", "64Mi", medium="Memory"),
    ]


def _empty(name: str, size: str, medium: str = "") -> Object:
    return {"name": name, "emptyDir": {"sizeLimit": size, **({"medium": medium} if medium else {})}}


def _task_volume() -> Object:
    field = {"fieldPath": f"metadata.annotations['{names.TASK_ANNOTATION}']"}
    item = {"path": names.TASK_FILE.removeprefix(f"{names.TASK_DIR}/"), "fieldRef": field}
    return {"name": "task", "downwardAPI": {"items": [item]}}


def _secret_volumes(order: Order) -> list[Object]:
    repo, model, nats = order.task.repo, order.class_.model, order.class_.nats
    volumes = []
    if repo.credentials_ref:
        volumes.append(_secret("git", repo.credentials_ref.name))
    if repo.ca_ref:
        item = {"key": repo.ca_ref.key, "path": names.CA_FILE.removeprefix(f"{names.GIT_CA_DIR}/")}
        volumes.append({"name": "git-ca", "configMap": {"name": repo.ca_ref.name, "items": [item]}})
    if model.api_key_secret_ref:
        key = names.MODEL_KEY_FILE.removeprefix(f"{names.MODEL_SECRET_DIR}/")
        item = {"key": model.api_key_secret_ref.key, "path": key}
        volumes.append(_secret("model", model.api_key_secret_ref.name, [item]))
    if nats.creds_secret_ref:
        volumes.append(_secret("nats-creds", nats.creds_secret_ref.name))
    if nats.tls_secret_ref:
        volumes.append(_secret("nats-tls", nats.tls_secret_ref.name))
    return volumes


def _secret(volume: str, secret: str, items: list[Object] | None = None) -> Object:
    source: Object = {"secretName": secret, "defaultMode": SECRET_MODE}
    return {"name": volume, "secret": {**source, **({"items": items} if items else {})}}
