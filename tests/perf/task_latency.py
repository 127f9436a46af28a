"""How long one task takes and what it costs the API server, on a running demo cluster.

    make demo && .venv/bin/python tests/perf/task_latency.py [ROUNDS]

Each round runs a bare Job of one container with the agent's image (the baseline: what
Kubernetes itself takes) and then the reference task under a fresh name. Printed as JSON:
medians in seconds, ratios to the baseline, and the operator's writes for each task, Events
aside, counted in the API server's audit log by user agent.
"""

import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hack" / "testbed"))

import yaml

from agenttask_testbed import images
from agenttask_testbed.commands import ROOT, Kubectl, run
from agenttask_testbed.demo import CLUSTER, FINISHED, KUBECONFIG, WHERE

OPERATOR_AGENTS = ("agenttask-operator", "kopf")
WRITES = ("create", "update", "patch", "delete")


def bare_job(name: str) -> dict[str, Any]:
    """Return a Job that only starts the agent's image."""
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": {"drop": ["ALL"]},
    }
    container = {
        "name": "main",
        "image": images.PRODUCT[1].tag,
        "command": ["true"],
        "imagePullPolicy": "IfNotPresent",
        "securityContext": security,
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    spec = {"template": {"spec": pod}, "backoffLimit": 0, "ttlSecondsAfterFinished": 60}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def reference_task(name: str) -> dict[str, Any]:
    """Return the reference task under another name and branch."""
    task: dict[str, Any] = yaml.safe_load(
        (ROOT / "examples" / "hello-world.yaml").read_text("utf-8")
    )
    task["metadata"]["name"] = name
    return task


def until(check: Any, seconds: float = 120) -> Any:
    """Return the check's first true answer."""
    end = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > end:
            raise SystemExit("timed out")
        time.sleep(0.05)
    return answer


def seconds_of(text: str) -> float:
    """Return an RFC 3339 time as seconds since the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def measure_baseline(kubectl: Kubectl, name: str) -> float:
    """Return the seconds from apply to the end of a bare Job."""
    start = time.time()
    kubectl.apply(bare_job(name), namespace=WHERE)
    until(lambda: kubectl.get("-n", WHERE, "job", name).get("status", {}).get("completionTime"))
    return time.time() - start


def measure_task(kubectl: Kubectl, name: str) -> dict[str, float]:
    """Return seconds from apply to the first model call and to the terminal status."""
    start = time.time()
    kubectl.apply(reference_task(name), namespace=WHERE)
    until(lambda: kubectl.get("-n", WHERE, "agenttask", name)["status"].get("phase") in FINISHED)
    end = time.time()
    task = kubectl.get("-n", WHERE, "agenttask", name)
    if task["status"]["phase"] != "Succeeded":
        raise SystemExit(f"{name} ended {task['status']['reason']}: {task['status']['message']}")
    return {"first_model_call": first_model_call(kubectl, name) - start, "terminal": end - start}


def first_model_call(kubectl: Kubectl, name: str) -> float:
    """Return when the courier's gate forwarded the first model call, from its log."""
    log = kubectl(
        "-n", WHERE, "logs", "-l", f"agenttask.dev/task={name}", "-c", "courier", "--tail=-1"
    )
    for line in log.splitlines():
        entry = json.loads(line)
        if entry.get("event") == "first_model_call":
            return seconds_of(entry["ts"])
    raise SystemExit("the courier's log names no first model call")


def operator_writes(names: list[str]) -> dict[str, float]:
    """Return the operator's writes for each task, by verb and resource, from the audit log."""
    with tempfile.TemporaryDirectory() as folder:
        run(images.KIND, "export", "logs", folder, "--name", CLUSTER)
        log = next(Path(folder).rglob("audit.log")).read_text("utf-8")
    counts: Counter[str] = Counter()
    for line in log.splitlines():
        entry = json.loads(line)
        target = entry.get("objectRef") or {}
        if entry["stage"] != "ResponseComplete" or entry["verb"] not in WRITES:
            continue
        if not entry.get("userAgent", "").startswith(OPERATOR_AGENTS):
            continue
        if any(target.get("name", "").startswith(name) for name in names):
            what = target["resource"] + (
                "/" + target["subresource"] if "subresource" in target else ""
            )
            counts[f"{entry['verb']} {what}"] += 1
    return {what: round(count / len(names), 2) for what, count in sorted(counts.items())}


def main() -> None:
    """Run the rounds and print the figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    kubectl = Kubectl(images.binary("kubectl"), str(KUBECONFIG))
    stamp = f"{int(time.time()) % 100000}"
    names = [f"perf-{stamp}-{i}" for i in range(rounds)]
    bare = [measure_baseline(kubectl, f"bare-{stamp}-{i}") for i in range(rounds)]
    tasks = [measure_task(kubectl, name) for name in names]
    median = {k: statistics.median(t[k] for t in tasks) for k in tasks[0]}
    baseline = statistics.median(bare)
    writes = operator_writes(names)
    counted = sum(v for k, v in writes.items() if "events" not in k)
    figures = {
        "rounds": rounds,
        "bare_job_seconds": round(baseline, 2),
        **{f"{k}_seconds": round(v, 2) for k, v in median.items()},
        **{f"{k}_ratio_to_bare_job": round(v / baseline, 2) for k, v in median.items()},
        "operator_writes_per_task": round(counted, 2),
        "by_kind": writes,
    }
    print(json.dumps(figures, indent=2))
    kubectl("-n", WHERE, "delete", "agenttask", *names, "--wait=false")


if __name__ == "__main__":
    main()
