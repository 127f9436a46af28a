"""Thousands of tasks from apply to the end, on a node of KWOK: `--scale`.

    PYTHONPATH=hack/testbed .venv/bin/python -m tests.perf.cluster --fast -- \\
        .venv/bin/python -m tests.perf.kwok --scale 10000 [--rate 20]

Real: API server, Job controller, scheduler, garbage collector, NATS, our operator. Played by
KWOK: the kubelet, whose pods work for two seconds and end well. --rate: tasks applied a second;
0 = as fast as they are taken. Printed as JSON: seconds of every phase of a task, the operator's
memory and processor time, and the requests of everybody for each task, from the audit log.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.harness import CLASS, PROMPT, TASKS, Api, Operator
from tests.perf.sightings import Sightings, spans
from tests.perf.usage import usage
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_api.digest import Digest, write_digest
from agenttask_api.reasons import Reason
from agenttask_api.spec import AgentTaskSpec
from agenttask_testbed import images
from agenttask_testbed.commands import run

NODE = "played"
STAGES = Path(__file__).parent / "kwok.yaml"
MAKERS = 4
STILL_SECONDS = 120.0
"""For so long nothing may end before the run is given up."""
SPEC = {"prompt": PROMPT, "repo": {"url": "https://git.invalid/x.git"}, "className": CLASS}
WRITES = ("create", "update", "patch", "delete", "deletecollection")


@contextmanager
def played_node(api: Api, folder: Path) -> Iterator[None]:
    """A node with room for everything, and KWOK as its kubelet."""
    digest = Digest(
        run_key=AgentTaskSpec.model_validate(SPEC).run_key(),
        final=True,
        phase="Succeeded",
        reason=Reason.COMPLETED,
        verdict="Verified",
        stored=True,
    )
    stages = folder / "kwok.yaml"
    stages.write_text(STAGES.read_text("utf-8").replace("DIGEST", write_digest(digest)), "utf-8")
    where = ("--kubeconfig", os.environ["KUBECONFIG"], "--config", str(stages))
    which = ("--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=played=true")
    address = ("--server-address", f"127.0.0.1:{free_port()}")
    with (folder / "kwok.log").open("wb") as log:
        process = subprocess.Popen(
            [images.binary("kwok"), *where, *which, *address, "--enable-crds="],
            stdout=log,
            stderr=log,
        )
    labels = {"agenttask.dev/played": "true", "kubernetes.io/hostname": NODE}
    metadata = {"name": NODE, "labels": labels, "annotations": {"played": "true"}}
    api.request("POST", "/api/v1/nodes", {"metadata": metadata})
    try:
        yield
    finally:
        process.kill()
        process.wait()
        api.delete(f"/api/v1/nodes/{NODE}")


def make_class(api: Api) -> None:
    """A class whose pods go to the played node."""
    spec = {
        "model": {"endpoint": "http://127.0.0.1:9", "maxConcurrentTasks": 10000},
        "pod": {"nodeSelector": {"agenttask.dev/played": "true"}},
    }
    head = {"apiVersion": "agenttask.dev/v1alpha1", "kind": "AgentClass"}
    api.request(
        "POST", f"{TASKS}/agentclasses", {**head, "metadata": {"name": CLASS}, "spec": spec}
    )


def apply_all(api: Api, space: str, count: int, rate: float, seen: Sightings) -> None:
    """Apply the tasks, so many a second, and note when each was taken."""
    begun = time.monotonic()

    def one(number: int) -> None:
        if rate:
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        seen.note(f"t-{number}", "applied")
        api.make_task(space, f"t-{number}")

    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(one, range(count)))


def await_ends(seen: Sightings, count: int, seconds: float) -> int:
    """Wait until all have ended, or so many seconds; return how many have."""
    ended, since = 0, time.monotonic()
    while ended < count and time.monotonic() < seen.begun + seconds:
        time.sleep(1)
        now = seen.count("Succeeded")
        if now > ended:
            ended, since = now, time.monotonic()
        elif time.monotonic() > since + STILL_SECONDS:
            raise SystemExit(f"only {ended} of {count} have ended: {seen.counts()}")
    return ended


def requests(cluster: str, space: str, count: int) -> dict[str, dict[str, float]]:
    """Return the requests for each task, by who and what, from the audit log."""
    found: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run(images.KIND, "export", "logs", folder, "--name", cluster)
        for log in Path(folder).rglob("audit*.log"):
            with log.open(encoding="utf-8") as lines:
                for line in lines:
                    tell(json.loads(line), space, found)
    return {
        who: {what: round(n / count, 2) for what, n in sorted(counts.items()) if n / count >= 0.01}
        for who, counts in sorted(found.items())
    }


def tell(entry: dict[str, Any], space: str, found: dict[str, Counter[str]]) -> None:
    """Count one entry of the audit log if it is of this namespace."""
    target = entry.get("objectRef") or {}
    if target.get("namespace") != space or entry["stage"] != "ResponseComplete":
        return
    who = entry.get("userAgent", "").partition("/")[0]
    what = f"{target['resource']}/{target.get('subresource', '')}".rstrip("/")
    counts = found.setdefault(who, Counter())
    counts[f"{entry['verb']} {what}"] += 1
    if entry["verb"] in WRITES:
        counts["writes, Events aside" if "events" not in what else "Events"] += 1


def scale(api: Api, folder: Path, count: int, rate: float, seconds: float) -> dict[str, Any]:
    """Return the figures of one run."""
    space = f"scale-{count}"
    api.make_namespace(space)
    make_class(api)
    nats = NatsServer(folder / "nats", nats_binary(), free_port())
    nats.start()
    environ = {
        "AGENT_IMAGE": "none",
        "NAMESPACES": space,
        "MODEL_PROBE_SECONDS": "0",
        "NATS_URL": nats.url,
    }
    operator = Operator(folder, environ, "ours")
    operator.start()
    try:
        with played_node(api, folder):
            operator.ready()
            seen = Sightings(api, space)
            seen.start()
            apply_all(api, space, count, rate, seen)
            applied = time.monotonic()
            ended = await_ends(seen, count, seconds)
            over = time.monotonic()
            assert operator.process
            used = usage(operator.process.pid)
            doubles = sum(len(jobs) > 1 for jobs in seen.jobs.values())
    finally:
        operator.stop()
        nats.stop()
    cpu = {"cpu_ms_per_task": round(1000 * used["cpu_s"] / count, 2)}
    return {
        "tasks": count,
        "ended": ended,
        "seen": seen.counts(),
        "tasks_with_two_jobs": doubles,
        "rate": rate,
        "apply_s": round(applied - seen.begun, 1),
        "wall_s": round(over - seen.begun, 1),
        "phases_s": spans(seen.at),
        "peak_mb": round(used["peak_mb"], 1),
        "rss_at_the_end_mb": round(used["rss_mb"], 1),
        **cpu,
        "requests_per_task": requests(os.environ["CLUSTER"], space, count),
        "curve": seen.curve(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tests.perf.kwok")
    parser.add_argument("--scale", type=int, default=10000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=3600.0, help="then it is broken off")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        api = Api(Path(os.environ["KUBECONFIG"]), Path(folder))
        try:
            figures = scale(api, Path(folder), asked.scale, asked.rate, asked.seconds)
        finally:
            api.close()
    print(json.dumps({"kwok": figures, "load": os.getloadavg()}))


if __name__ == "__main__":
    main()
