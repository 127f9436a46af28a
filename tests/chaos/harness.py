"""Operator processes on this machine, an API client, and a kubelet made of status patches.

The pods fit no node, so nothing runs them but `Api.end_pods`, which writes what a kubelet
and our courier would have said. API server and controllers are the real ones.
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.e2e.tasks import eventually
from tests.servers.nats import free_port

from agenttask_api import names
from agenttask_api.digest import Digest, write_digest
from agenttask_api.reasons import Reason

Object = dict[str, Any]

TASKS = "/apis/agenttask.dev/v1alpha1"
CLASS = "chaos"
PROMPT = "prompt-7f3a that no log may hold"
TOKEN = "token-9c1e-that-no-log-may-hold"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/agenttask-operator"


class Api:
    """The API server, as the cluster's admin."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text("utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        cert, key = folder / "admin.crt", folder / "admin.key"
        cert.write_bytes(base64.b64decode(user["client-certificate-data"]))
        key.write_bytes(base64.b64decode(user["client-key-data"]))
        self.ca = folder / "api.crt"
        self.ca.write_text(ca, encoding="utf-8")
        self.context = ssl.create_default_context(cadata=ca)
        self.context.load_cert_chain(cert, key)
        self._http = httpx.Client(base_url=self.server, verify=self.context, timeout=30)

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, body: Object | None = None) -> Object:
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {"Content-Type": f"application/{kind}"}
        reply = self._http.request(method, path, content=json.dumps(body or {}), headers=headers)
        assert reply.status_code < 300, f"{method} {path}: {reply.text[:500]}"
        return dict(reply.json())

    def refusal(self, path: str, body: Object) -> str:
        """Return why something is not created; empty = it is."""
        headers = {"Content-Type": "application/json"}
        reply = self._http.post(path, content=json.dumps(body), headers=headers)
        return reply.text if reply.status_code >= 300 else ""

    def delete(self, path: str) -> None:
        """Delete what may be gone already."""
        reply = self._http.delete(path)
        assert reply.status_code < 300 or reply.status_code == 404, reply.text[:500]

    def get(self, path: str) -> Object:
        reply = self._http.get(path)
        return dict(reply.json()) if reply.status_code < 300 else {}

    def items(self, path: str) -> list[Object]:
        return list(self.get(path).get("items") or [])

    def make_namespace(self, name: str) -> None:
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def make_class(self, name: str = CLASS, **model: Any) -> None:
        spec = {
            "model": {"endpoint": "http://127.0.0.1:9", "maxConcurrentTasks": 10000, **model},
            "pod": {"nodeSelector": {"agenttask.dev/nowhere": "true"}},
        }
        body = {
            "apiVersion": "agenttask.dev/v1alpha1",
            "kind": "AgentClass",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.request("POST", f"{TASKS}/agentclasses", body)

    def make_task(self, namespace: str, name: str, class_name: str = CLASS, **spec: Any) -> None:
        given = {
            "prompt": PROMPT,
            "repo": {"url": "https://git.invalid/x.git"},
            "className": class_name,
            **spec,
        }
        body = {
            "apiVersion": "agenttask.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": name},
            "spec": given,
        }
        self.request("POST", f"{TASKS}/namespaces/{namespace}/agenttasks", body)

    def tasks(self, namespace: str) -> list[Object]:
        return self.items(f"{TASKS}/namespaces/{namespace}/agenttasks")

    def task(self, namespace: str, name: str) -> Object:
        return self.get(f"{TASKS}/namespaces/{namespace}/agenttasks/{name}")

    def jobs(self, namespace: str) -> list[Object]:
        return self.items(f"/apis/batch/v1/namespaces/{namespace}/jobs")

    def phases(self, namespace: str) -> Counter[str]:
        return Counter(t["status"].get("phase", "") for t in self.tasks(namespace))

    def holder(self, namespace: str) -> str:
        lease = self.get(LEASES.format(namespace))
        return str((lease.get("spec") or {}).get("holderIdentity", ""))

    def end_pods(self, namespace: str, most: int = 10**6) -> int:
        """End unfinished pods well, as kubelet and courier would; return how many."""
        count = 0
        for pod in self.items(f"/api/v1/namespaces/{namespace}/pods"):
            if count >= most or pod["status"].get("phase") in ("Succeeded", "Failed"):
                continue
            self.say(pod, "Succeeded", courier=over(0, judged(pod)), agent=over(0))
            count += 1
        return count

    def pods(self, namespace: str, task: str) -> list[Object]:
        path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={names.LABEL_TASK}%3D{task}"
        return self.items(path)

    def say(
        self, pod: Object, phase: str, also: Object | None = None, **containers: Object
    ) -> None:
        """Write a pod's status; containers by name, as `running()` and `over()` describe them.

        `also` = more fields of the status, which may replace its conditions.
        """
        inits = {i["name"] for i in pod["spec"]["initContainers"]}
        entries = [_entry(name, state) for name, state in containers.items()]
        status = {
            "phase": phase,
            "initContainerStatuses": [e for e in entries if e["name"] in inits],
            "containerStatuses": [e for e in entries if e["name"] not in inits],
            # A pod whose containers say anything has a node.
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            **(also or {}),
        }
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        self.request("PATCH", path, {"status": status})

    def all_end(self, namespace: str, count: int, seconds: float = 60) -> None:
        """End pods until that many tasks have succeeded."""

        def done() -> bool:
            self.end_pods(namespace)
            return self.phases(namespace) == {"Succeeded": count}

        eventually(done, seconds, f"{count} tasks of {namespace} to succeed")

    def one_job_each(self, namespace: str, count: int) -> None:
        """Assert that every task got one Job, and no Job is left over."""
        owners = [j["metadata"]["ownerReferences"][0]["uid"] for j in self.jobs(namespace)]
        assert len(owners) == len(set(owners)) == count


def running() -> Object:
    return {"running": {"startedAt": _now()}}


def over(code: int, message: str = "", reason: str = "") -> Object:
    """A container's state after its end."""
    reason = reason or ("Error" if code else "Completed")
    times = {"startedAt": _now(), "finishedAt": _now()}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}


def judged(pod: Object) -> str:
    """Return the courier's last words on a run that went well."""
    key = pod["metadata"]["labels"][names.LABEL_RUN_KEY]
    good = Digest(run_key=key, final=True, phase="Succeeded", reason=Reason.COMPLETED)
    return write_digest(good.model_copy(update={"verdict": "Verified"}))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _entry(name: str, state: Object) -> Object:
    entry = {"name": name, "image": "none", "imageID": "none", "ready": False, "restartCount": 0}
    return {**entry, "state": state}


@dataclass
class Operator:
    """One operator process."""

    folder: Path
    environ: dict[str, str]
    name: str
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        own = {"HTTP_ADDRESS": f"127.0.0.1:{self.port}", "POD_ID": self.name}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agenttask_operator"],
                env={**os.environ, **self.environ, **own},
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the process to end and return its exit code."""
        assert self.process
        return self.process.wait(30)

    def asked(self, path: str) -> tuple[int, str]:
        """Return status and text of a path of its web server; (0, "") without an answer."""
        try:
            reply = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=2)
        except httpx.HTTPError:
            return 0, ""
        return reply.status_code, reply.text

    def ready(self) -> None:
        def check() -> bool:
            assert self.alive, self.log.read_text("utf-8")[-3000:]
            return self.asked("/readyz")[0] == 200

        eventually(check, 60, f"operator {self.name} to be ready")

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used."""
        assert self.process
        fields = (
            Path(f"/proc/{self.process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """Return one sample of its metrics by its full name, labels included."""
        for line in self.asked("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        return 0.0

    def stop(self) -> None:
        if self.process and self.alive:
            self.process.kill()
        if self.process:
            self.process.wait()


def kubeconfig(at: Path, server: str, ca: Path, token: str) -> Path:
    """Write a kubeconfig for a client that trusts `ca` and shows a token."""
    cluster = {"server": server, "certificate-authority": str(ca)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    at.write_text(yaml.safe_dump(config), encoding="utf-8")
    return at
