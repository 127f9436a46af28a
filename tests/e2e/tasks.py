"""What the e2e tests say again and again: a task, its status, its Jobs and pods."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agenttask_testbed import product
from agenttask_testbed.commands import ROOT, CommandFailed, Kubectl
from agenttask_testbed.demo import FINISHED, NATS_URL, WHERE

PYTEST = {"name": "tests", "run": ["python3", "-m", "pytest", "-q"]}


class Home:
    """Tasks of one namespace, from a user's point of view."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        """Remember where."""
        self.kubectl, self.namespace = kubectl, namespace

    def run(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.kubectl("-n", self.namespace, *args, stdin=stdin)

    def get(self, *args: str) -> Any:
        """Return `kubectl get ARGS` of the namespace, parsed."""
        return self.kubectl.get("-n", self.namespace, *args)

    def apply(self, *objects: dict[str, Any] | str) -> None:
        """Apply objects in the namespace."""
        self.kubectl.apply(*objects, namespace=self.namespace)


def task(name: str, prompt: str, **spec: Any) -> dict[str, Any]:
    """Return an AgentTask on the testbed's repository; `spec` overrides."""
    repo = {
        "url": f"https://git.{WHERE}.svc/git/hello.git",
        "credentialsRef": {"name": "git-credentials"},
        "caRef": {"name": "git-ca"},
    }
    branch = {"branch": f"agenttask/{name}-{os.urandom(3).hex()}"}
    given = {"prompt": prompt, "repo": repo, "output": branch, **spec}
    return {
        "apiVersion": "agenttask.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": name},
        "spec": given,
    }


def agent_class(name: str, base: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a class like `base` with other spec fields, not a default."""
    return {
        "apiVersion": "agenttask.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": name},
        "spec": {**base["spec"], **spec},
    }


def eventually(check: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the check's first true answer; fails with its last one after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {seconds} s: {what} (last: {answer!r})"
        time.sleep(0.25)


def status(home: Home, name: str) -> dict[str, Any]:
    """Return the task's status."""
    answer: dict[str, Any] = home.get("agenttask", name).get("status", {})
    return answer


def until(home: Home, name: str, seconds: float = 90, **wanted: str) -> dict[str, Any]:
    """Wait until the status has these values and return it."""
    last: dict[str, Any] = {}

    def check() -> bool:
        last.update(status(home, name))
        return all(last.get(key) == value for key, value in wanted.items())

    end = time.monotonic() + seconds
    while not check():
        ended = last.get("phase") in FINISHED and wanted.get("phase") not in (None, last["phase"])
        assert not ended, f"{name} ended otherwise than {wanted}: {story(home, name, last)}"
        assert time.monotonic() < end, (
            f"{name} not {wanted} in {seconds} s: {story(home, name, last)}"
        )
        time.sleep(0.25)
    return last


def finished(home: Home, name: str, seconds: float = 120) -> dict[str, Any]:
    """Wait until the task has ended, however, and return its status."""
    return dict(
        eventually(
            lambda: (s := status(home, name)).get("phase") in FINISHED and s,
            seconds,
            f"{name} to end",
        )
    )


def condition(state: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return one condition of a status; fails when it is not there."""
    found = [c for c in state.get("conditions", []) if c["type"] == kind]
    assert found, f"no condition {kind} in {state.get('conditions')}"
    return dict(found[0])


def jobs(home: Home, name: str) -> list[dict[str, Any]]:
    """Return the Jobs of a task."""
    return list(home.get("jobs", "-l", f"agenttask.dev/task={name}")["items"])


def pods(home: Home, name: str) -> list[dict[str, Any]]:
    """Return the pods of a task."""
    return list(home.get("pods", "-l", f"agenttask.dev/task={name}")["items"])


def story(home: Home, name: str, state: dict[str, Any]) -> str:
    """Return what a person would look at after a failure."""
    parts = [f"{state.get('phase')}/{state.get('reason')}: {state.get('message')}"]
    for container in ("clone", "verifier", "courier", "agent"):
        try:
            log = home.run("logs", "-l", f"agenttask.dev/task={name}", "-c", container, "--tail=15")
        except CommandFailed as error:
            log = str(error)
        parts.append(f"--- {container}\n{log}")
    return "\n".join(parts)


def host_address(kubectl: Kubectl) -> str:
    """Return where pods reach this machine: its end of the link to the node."""
    node = kubectl.get("nodes")["items"][0]["status"]["addresses"]
    inside = next(a["address"] for a in node if a["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((inside, 9))
        return str(probe.getsockname()[0])


def host_pids(pod_uid: str, program: str) -> list[int]:
    """Return this machine's pids of a pod's processes whose command line names `program`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            cgroup = (entry / "cgroup").read_text("utf-8")
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if pod_uid in cgroup.replace("_", "-") and program in line:
            found.append(int(entry.name))
    return found


def result_of(home: Home, name: str) -> dict[str, Any]:
    """Return the result of the last run that NATS has for the task."""
    script = (ROOT / "hack" / "testbed" / "read_result.py").read_text("utf-8")
    inside = ("-n", product.SYSTEM, "exec", "-i", "deploy/agenttask-operator", "--", "python", "-")
    subject = f"agent.results.{home.namespace}.{name}"
    found: dict[str, Any] = json.loads(home.kubectl(*inside, NATS_URL, subject, stdin=script))
    return found


def logs(home: Home, name: str) -> str:
    """Return what all containers of a task's first pod have printed."""
    return home.run("logs", pods(home, name)[0]["metadata"]["name"], "--all-containers")
