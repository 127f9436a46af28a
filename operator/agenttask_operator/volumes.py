"""The pod's volumes, and how containers mount those that are shared.

Pure. Every emptyDir has a size limit, so that one task cannot fill a node; every
secret is a volume that only the containers which need it mount.
"""

from typing import Any

from agenttask_api import names
from agenttask_operator.order import Order

Object = dict[str, Any]

SECRET_MODE = 0o440


def mount(volume: str, path: str, read_only: bool = False) -> Object:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def own_mounts(container: str) -> list[Object]:
    """Temporary files, home and shared memory; the default /dev/shm is the pod's, so shared."""
    return [
        mount(f"tmp-{container}", names.TMP_DIR),
        mount(f"home-{container}", names.HOME_DIR),
        mount(f"shm-{container}", names.SHM_DIR),
    ]


def git_mounts(order: Order) -> list[Object]:
    repo = order.task.repo
    mounts = [mount("git", names.GIT_SECRET_DIR, read_only=True)] if repo.credentials_ref else []
    return mounts + ([mount("git-ca", names.GIT_CA_DIR, read_only=True)] if repo.ca_ref else [])


def service_mounts(order: Order) -> list[Object]:
    model, nats = order.class_.model, order.class_.nats
    wanted = [
        ("model", names.MODEL_SECRET_DIR, model.api_key_secret_ref),
        ("nats-creds", names.NATS_CREDS_DIR, nats.creds_secret_ref),
        ("nats-tls", names.NATS_TLS_DIR, nats.tls_secret_ref),
    ]
    return [mount(volume, path, read_only=True) for volume, path, ref in wanted if ref]


def database_mounts(order: Order) -> list[Object]:
    return [
        mount(_database(number), f"{names.DB_SECRETS_DIR}/{connection.name}", read_only=True)
        for number, connection in enumerate(order.document.connections)
    ]


def _database(number: int) -> str:
    """Return the volume's name; a connection's own may be too long to be part of it."""
    return f"db-{number}"


def build_volumes(order: Order) -> list[Object]:
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
        *_database_volumes(order),
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


def _database_volumes(order: Order) -> list[Object]:
    return [
        _secret(_database(number), connection.secret_ref.name)
        for number, connection in enumerate(order.document.connections)
    ]


def _secret(volume: str, secret: str, items: list[Object] | None = None) -> Object:
    source: Object = {"secretName": secret, "defaultMode": SECRET_MODE}
    return {"name": volume, "secret": {**source, **({"items": items} if items else {})}}
