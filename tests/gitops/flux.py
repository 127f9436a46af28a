"""Flux's kustomize-controller, fed by an ExternalArtifact.

Its source-controller does not build from the module proxy, so the artifact (what
source-controller would make of the commit) is made here, by Flux's own API for third parties.
"""

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.tasks import Home, eventually
from tests.gitops.programs import await_http, free_port, module_folder, program, running
from tests.gitops.repository import BRANCH, Repository

from agenttask_testbed.commands import Kubectl

CONTROLLER = "github.com/fluxcd/kustomize-controller@v1.9.5"
SOURCES = "github.com/fluxcd/source-controller@v1.9.5"
Object = dict[str, Any]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


class Flux:
    """A running controller, and what it is told of a repository."""

    def __init__(self, artifacts: Path, port: int) -> None:
        self._artifacts, self._port = artifacts, port

    def publish(self, home: Home, repository: Repository, commit: str) -> None:
        """Offer the commit as the ExternalArtifact `agents` of the namespace."""
        packed = gzip.compress(repository.archive(commit), mtime=0)
        (self._artifacts / f"{commit}.tar.gz").write_bytes(packed)
        source = {"apiVersion": "example.com/v1", "kind": "Checkout", "name": "agents"}
        home.apply(source_object("ExternalArtifact", "agents", {"sourceRef": source}))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored",
                 "lastTransitionTime": now, "observedGeneration": 1}  # fmt: skip
        artifact = {
            "url": f"http://127.0.0.1:{self._port}/{commit}.tar.gz",
            "path": f"{commit}.tar.gz",
            "revision": f"{BRANCH}@sha1:{commit}",
            "digest": f"sha256:{hashlib.sha256(packed).hexdigest()}",
            "size": len(packed),
            "lastUpdateTime": now,
        }
        status = json.dumps({"status": {"artifact": artifact, "conditions": [ready]}})
        home.run("patch", "externalartifact", "agents", "--subresource=status", "--type=merge",
                 "-p", status)  # fmt: skip


def source_object(kind: str, name: str, spec: Object) -> Object:
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


@contextmanager
def flux_running(kubectl: Kubectl, folder: Path) -> Iterator[Flux]:
    """Install Flux's resource definitions and run its controller until the block ends."""
    definitions = [
        module_folder("kustomize-controller", package) / "config" / "crd" / "bases"
        for package in (SOURCES, CONTROLLER)
    ]
    files = [word for path in definitions for word in ("-f", str(path))]
    kubectl("apply", "--server-side", *files)
    kubectl("wait", "--for=condition=Established", "--timeout=60s",
            "crd/kustomizations.kustomize.toolkit.fluxcd.io",
            "crd/externalartifacts.source.toolkit.fluxcd.io")  # fmt: skip
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    health = free_port()
    argv = (
        str(program("kustomize-controller")),
        f"--metrics-addr=127.0.0.1:{free_port()}",
        f"--health-addr=127.0.0.1:{health}",
        "--enable-leader-election=false",
        # The second: a new commit is applied although the tasks of the last one still run.
        "--feature-gates=ExternalArtifact=true,CancelHealthCheckOnNewRevision=true",
        "--log-encoding=console",
    )
    environment = {"KUBECONFIG": kubectl.kubeconfig, "RUNTIME_NAMESPACE": "default"}
    with serving(artifacts) as port, running(folder / "flux.log", *argv, **environment):
        await_http(f"http://127.0.0.1:{health}/readyz")
        yield Flux(artifacts, port)


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Serve a folder on 127.0.0.1 until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kustomization(home: Home, shipped: Object) -> Object:
    """Return a shipped example, in this namespace and with short times."""
    spec = {**shipped["spec"], "interval": "10m", "retryInterval": "5s", "timeout": "3m"}
    spec |= {"path": "./", "targetNamespace": home.namespace}
    spec["sourceRef"] = {"kind": "ExternalArtifact", "name": "agents"}
    return {**shipped, "metadata": {"name": "agents", "namespace": home.namespace}, "spec": spec}


def reconcile(home: Home, token: str) -> None:
    """Have the Kustomization applied again, and wait until it was."""
    home.run("annotate", "--overwrite", "kustomization", "agents",
             f"reconcile.fluxcd.io/requestedAt={token}")  # fmt: skip
    eventually(
        lambda: state(home).get("lastHandledReconcileAt") == token, 120, f"reconcile {token}"
    )


def state(home: Home) -> Object:
    found: Object = home.get("kustomization", "agents").get("status", {})
    return found


def said(home: Home, type_: str = "Ready") -> tuple[str, str, str]:
    """Return status, reason and message of a condition; empty while there is none."""
    for condition in state(home).get("conditions", []):
        if condition["type"] == type_:
            return condition["status"], condition["reason"], condition["message"]
    return "", "", ""
