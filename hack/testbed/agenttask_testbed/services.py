"""The servers a task talks to, as pods of the cluster: NATS, git over https, a model."""

import base64
import hashlib
import io
import json
import secrets
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agenttask_testbed.commands import ROOT, Kubectl, run

MANIFESTS = ROOT / "hack" / "testbed" / "manifests"
GIT_USER = "agent"
GIT_REALM = "git"
CERTIFICATE_COMMANDS = (
    "req|-x509|-newkey|rsa:2048|-nodes|-days|365|-subj|/CN=agenttask testbed CA"
    "|-keyout|{at}/ca.key|-out|{at}/ca.crt",
    "req|-newkey|rsa:2048|-nodes|-subj|/CN={host}|-keyout|{at}/tls.key|-out|{at}/tls.csr",
    "x509|-req|-days|365|-in|{at}/tls.csr|-CA|{at}/ca.crt|-CAkey|{at}/ca.key|-CAcreateserial"
    "|-extfile|{at}/ext|-out|{at}/tls.crt",
)
"""Arguments of openssl, separated by bars."""


@dataclass(frozen=True)
class GitAccess:
    """What a task's namespace needs to reach the git server."""

    password: str
    ca: str


def namespace(name: str) -> dict[str, Any]:
    """Return a namespace that enforces Pod Security `restricted`."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }


def secret(name: str, data: dict[str, str], kind: str = "Opaque") -> dict[str, Any]:
    """Return a Secret."""
    meta = {"name": name}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": meta,
        "stringData": data,
    }


def config_map(
    name: str, data: dict[str, str], binary: dict[str, bytes] | None = None
) -> dict[str, Any]:
    """Return a ConfigMap; binary values are base64-encoded here."""
    encoded = {k: base64.b64encode(v).decode() for k, v in (binary or {}).items()}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": data,
        "binaryData": encoded,
    }


def certificate(host: str) -> tuple[str, str, str]:
    """Return (authority, certificate, key) as PEM text for a host; valid for a year."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "ext").write_text(f"subjectAltName=DNS:{host}\n", encoding="utf-8")
        for command in CERTIFICATE_COMMANDS:
            run("openssl", *command.format(at=at, host=host).split("|"))
        ca, crt, key = ((at / n).read_text("utf-8") for n in ("ca.crt", "tls.crt", "tls.key"))
        return ca, crt, key


def archive(folder: Path) -> bytes:
    """Return a folder as a tar archive, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if "__pycache__" in path.parts:
                continue
            info = tarfile.TarInfo(str(path.relative_to(folder)))
            content = path.read_bytes()
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def deploy_git(kubectl: Kubectl, where: str, seeds: dict[str, Path]) -> GitAccess:
    """Start the git server with one repository for each seed folder, unless it runs already."""
    known = kubectl("-n", where, "get", "secret", "git-access", "--ignore-not-found", "-o", "json")
    if known:
        data = {k: base64.b64decode(v).decode() for k, v in json.loads(known)["data"].items()}
        return GitAccess(data["password"], data["ca"])
    password = secrets.token_urlsafe(24)
    ca, crt, key = certificate(f"git.{where}.svc")
    digest = hashlib.md5(f"{GIT_USER}:{GIT_REALM}:{password}".encode()).hexdigest()
    kubectl.apply(
        config_map("git-seed", {}, {f"{name}.tar": archive(at) for name, at in seeds.items()}),
        secret("git-auth", {"htdigest": f"{GIT_USER}:{GIT_REALM}:{digest}\n"}),
        secret("git-tls", {"tls.crt": crt, "tls.key": key}),
        (MANIFESTS / "git.yaml").read_text("utf-8"),
        secret("git-access", {"password": password, "ca": ca}),
        namespace=where,
    )
    return GitAccess(password, ca)


def grant_git(kubectl: Kubectl, where: str, access: GitAccess) -> None:
    """Put credentials and the authority into a namespace whose tasks use the git server."""
    credentials = {"username": GIT_USER, "password": access.password}
    kubectl.apply(
        secret("git-credentials", credentials, kind="kubernetes.io/basic-auth"),
        config_map("git-ca", {"ca.crt": access.ca}),
        namespace=where,
    )


def deploy_git_ssh(kubectl: Kubectl, where: str, host_key: str, authorized: str) -> None:
    """Start the git server over ssh, with the repositories of `deploy_git` as they began.

    `authorized` has the public keys that are let in, as the user `git`.
    """
    keys = secret("git-ssh", {"host-key": host_key, "authorized": authorized})
    kubectl.apply(keys, (MANIFESTS / "git-ssh.yaml").read_text("utf-8"), namespace=where)
    wait_for(kubectl, where, "git-ssh")


def deploy_model(kubectl: Kubectl, where: str, scripts: list[Path]) -> None:
    """Start the rehearsal server with the given scripts."""
    texts = {script.name: script.read_text("utf-8") for script in scripts}
    manifest = (MANIFESTS / "model.yaml").read_text("utf-8")
    kubectl.apply(config_map("rehearsals", texts), manifest, namespace=where)


def deploy_nats(kubectl: Kubectl, where: str) -> None:
    """Start a NATS server with JetStream."""
    kubectl.apply((MANIFESTS / "nats.yaml").read_text("utf-8"), namespace=where)


def deploy_redis(kubectl: Kubectl, where: str, accounts: list[str]) -> None:
    """Start a Redis; accounts are lines of an ACL file."""
    acl = secret("redis-acl", {"users.acl": "\n".join(["user default off", *accounts, ""])})
    kubectl.apply(acl, (MANIFESTS / "redis.yaml").read_text("utf-8"), namespace=where)


def wait_for(kubectl: Kubectl, where: str, *deployments: str, seconds: int = 120) -> None:
    """Wait until deployments are rolled out; raises CommandFailed at the timeout."""
    for name in deployments:
        kubectl("-n", where, "rollout", "status", f"deploy/{name}", f"--timeout={seconds}s")
