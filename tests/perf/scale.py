"""How fast and how large the operator is, on the real API server.

    KUBECONFIG=... .venv/bin/python tests/perf/scale.py latency [TASKS] [ROUNDS]
    KUBECONFIG=... .venv/bin/python tests/perf/scale.py burst [TASKS] [ROUNDS]
    KUBECONFIG=... .venv/bin/python tests/perf/scale.py memory [TASKS] [ROUNDS]
    KUBECONFIG=... .venv/bin/python tests/perf/scale.py restart [TASKS] [OTHER]

Needs a cluster with the CRDs and no operator. Pods fit no node, so nothing but the control
plane works beside the operator. Printed as JSON.

latency: from the answer to the creation of a task to the news of its Job, one task
at a time, ours and `idiomatic.py` in turns.
burst: the tasks are there before the operator starts; Jobs a second from the first to the
last one, ours and `idiomatic.py` in turns.
memory: a cold start with that many live tasks, and with as many finished ones, ours and
`idle.py`, a kopf operator that does nothing.
restart: a start with that many finished tasks whose status is large: what the API server sends
of tasks, and the memory; beside it an operator whose package is in the folder OTHER.
"""

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hack" / "testbed"))

import httpx
from tests.chaos.harness import TASKS, Api, Operator, kubeconfig
from tests.chaos.proxy import Proxy
from tests.perf.usage import usage
from tests.servers.certs import make_certificates

HERE = Path(__file__).parent
MAKERS = 8
SECONDS = 300.0
SETTLE_SECONDS = 5.0


def until(check: Callable[[], Any], pause: float = 0.05) -> float:
    """Wait for the check and return when it held."""
    end = time.monotonic() + SECONDS
    while not check():
        if time.monotonic() > end:
            raise SystemExit("timed out")
        time.sleep(pause)
    return time.time()


@contextmanager
def namespace(api: Api) -> Iterator[str]:
    """Make a namespace and remove it, without waiting."""
    space = f"scale-{secrets.token_hex(4)}"
    api.make_namespace(space)
    yield space
    api.request("DELETE", f"/api/v1/namespaces/{space}")


def make_tasks(api: Api, space: str, count: int, **spec: Any) -> None:
    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(lambda n: api.make_task(space, f"t-{n}", **spec), range(count)))


@contextmanager
def ours(folder: Path, space: str) -> Iterator[Operator]:
    environ = {"AGENT_IMAGE": "none", "NAMESPACES": space, "MODEL_PROBE_SECONDS": "0"}
    operator = Operator(folder, environ, f"ours-{secrets.token_hex(2)}")
    operator.start()
    try:
        yield operator
    finally:
        operator.stop()


@contextmanager
def kopf(
    folder: Path, space: str, script: str, **environ: str
) -> "Iterator[subprocess.Popen[Any]]":
    argv = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", space, str(HERE / script)]
    with (folder / f"{script}.log").open("ab") as log:
        process = subprocess.Popen(argv, env={**os.environ, **environ}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def either(folder: Path, space: str, whose: str) -> "Iterator[subprocess.Popen[Any]]":
    """Run our operator, or the one to compare it with."""
    if whose == "ours":
        with ours(folder, space) as operator:
            assert operator.process
            yield operator.process
    else:
        with kopf(folder, space, "idiomatic.py") as process:
            yield process


# Latency.


class JobNews:
    """When each Job of a namespace was heard of, by its task."""

    def __init__(self, api: Api, space: str) -> None:
        self._api, self._path = api, f"/apis/batch/v1/namespaces/{space}/jobs?watch=true"
        self.at: dict[str, float] = {}
        self.heard = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _listen(self) -> None:
        context = self._api.context
        client = httpx.Client(base_url=self._api.server, verify=context, timeout=None)
        with client.stream("GET", self._path) as reply:
            for line in reply.iter_lines():
                event = json.loads(line)
                if event["type"] == "ADDED":
                    name = event["object"]["metadata"]["ownerReferences"][0]["name"]
                    with self.heard:
                        self.at[name] = time.perf_counter()
                        self.heard.notify_all()

    def wait(self, name: str) -> float:
        with self.heard:
            if not self.heard.wait_for(lambda: name in self.at, 30):
                raise SystemExit(f"no Job of {name}")
            return self.at[name]


def one_latency(api: Api, folder: Path, count: int, whose: str) -> list[float]:
    """Return the milliseconds of each task, one after the other."""
    with namespace(api) as space, either(folder, space, whose):
        news = JobNews(api, space)
        news.start()
        api.make_task(space, "warm-up")
        news.wait("warm-up")
        found = []
        for number in range(count):
            api.make_task(space, f"t-{number}")
            made = time.perf_counter()
            found.append(max(0.0, news.wait(f"t-{number}") - made) * 1000)
            time.sleep(0.05)
    return found


def latency(api: Api, folder: Path, count: int = 200, rounds: int = 5) -> dict[str, Any]:
    results: dict[str, list[list[float]]] = {"ours": [], "idiomatic": []}
    for _ in range(rounds):
        for whose, so_far in results.items():
            so_far.append(one_latency(api, folder, count, whose))
    medians = {
        whose: middle([quantiles(found) for found in so_far]) for whose, so_far in results.items()
    }
    every = {w: percentiles(sum(r, [])) for w, r in results.items()}
    return {"tasks": count, "rounds": rounds, **medians, "percentiles_ms": every}


def percentiles(milliseconds: list[float]) -> list[float]:
    return [round(cut, 1) for cut in statistics.quantiles(milliseconds, n=100)]


def quantiles(milliseconds: list[float]) -> dict[str, float]:
    cuts = percentiles(milliseconds)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


# Burst.


def count_jobs(api: Api, space: str) -> int:
    answer = api.get(f"/apis/batch/v1/namespaces/{space}/jobs?limit=1")
    return len(answer["items"]) + int(answer["metadata"].get("remainingItemCount", 0))


def one_burst(api: Api, folder: Path, count: int, whose: str) -> dict[str, float]:
    with namespace(api) as space:
        make_tasks(api, space, count)
        begun = time.time()
        with either(folder, space, whose) as process:
            first = until(lambda: count_jobs(api, space) > 0)
            last = until(lambda: count_jobs(api, space) >= count)
            used = usage(process.pid)
    rate = count / (last - first)
    spent = {"cpu_ms_per_task": 1000 * used["cpu_s"] / count, "peak_mb": used["peak_mb"]}
    return {"first_s": first - begun, "jobs_per_s": rate, **spent}


def burst(api: Api, folder: Path, count: int = 1000, rounds: int = 5) -> dict[str, Any]:
    results: dict[str, list[dict[str, float]]] = {"ours": [], "idiomatic": []}
    for _ in range(rounds):
        for whose, so_far in results.items():
            so_far.append(one_burst(api, folder, count, whose))
            time.sleep(SETTLE_SECONDS)
    medians = {whose: middle(figures) for whose, figures in results.items()}
    ratio = medians["ours"]["jobs_per_s"] / medians["idiomatic"]["jobs_per_s"]
    every = {w: [round(f["jobs_per_s"], 1) for f in found] for w, found in results.items()}
    ratio = round(ratio, 2)
    return {"tasks": count, "rounds": rounds, **medians, "ratio": ratio, "every_rate": every}


def middle(figures: list[dict[str, float]]) -> dict[str, float]:
    return {k: round(statistics.median(f[k] for f in figures), 2) for k in figures[0]}


# Memory.


def cold_ours(folder: Path, space: str, live: int) -> dict[str, float]:
    with ours(folder, space) as operator:
        begun = time.time()
        until(lambda: operator.asked("/readyz")[0] == 200)
        ready = until(lambda: known(operator) >= live) - begun
        time.sleep(SETTLE_SECONDS)
        assert operator.process
        return {"ready_s": round(ready, 2), **rounded(usage(operator.process.pid))}


def known(operator: Operator) -> float:
    """Return how many unfinished tasks the operator tells of."""
    lines = operator.asked("/metrics")[1].splitlines()
    return sum(float(x.split()[-1]) for x in lines if x.startswith("agenttask_tasks{"))


def cold_idle(folder: Path, space: str, count: int) -> dict[str, float]:
    log = folder / "idle.py.log"
    log.unlink(missing_ok=True)
    with kopf(folder, space, "idle.py", EXPECTED=str(count)) as process:
        begun = time.time()
        until(lambda: "seen " in log.read_text("utf-8"))
        ready = float(log.read_text("utf-8").partition("seen ")[2].split()[0]) - begun
        time.sleep(SETTLE_SECONDS)
        return {"ready_s": round(ready, 2), **rounded(usage(process.pid))}


SMALL = {"observedGeneration": 1, "phase": "Succeeded", "reason": "Completed"}


def rounded(figures: dict[str, float]) -> dict[str, float]:
    return {k: round(v, 1) for k, v in figures.items()}


def finish(api: Api, space: str, count: int, status: dict[str, Any] = SMALL) -> None:
    """Write an end into every task's status, as an operator without NATS has left it."""
    base = f"{TASKS}/namespaces/{space}/agenttasks"

    def end(number: int) -> None:
        api.request("PATCH", f"{base}/t-{number}/status", {"status": status})

    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(end, range(count)))


def cold(folder: Path, space: str, count: int, live: int, rounds: int) -> dict[str, Any]:
    """Start both in turns; returns the median figures of each."""
    found: dict[str, list[dict[str, float]]] = {"ours": [], "idle": []}
    for _ in range(rounds):
        found["ours"].append(cold_ours(folder, space, live))
        found["idle"].append(cold_idle(folder, space, count))
    return {whose: middle(figures) for whose, figures in found.items()}


def is_told(task: dict[str, Any]) -> bool:
    """Say whether an operator has written the status; the schema's defaults are there before."""
    return int(task["status"].get("observedGeneration", -1)) > 0


def versions(api: Api, space: str) -> dict[str, str]:
    """Return every task's resourceVersion, which any write changes."""
    found = (t["metadata"] for t in api.tasks(space))
    return {m["name"]: m["resourceVersion"] for m in found}


def memory(api: Api, folder: Path, count: int = 10000, rounds: int = 5) -> dict[str, Any]:
    with namespace(api) as space:
        empty = middle([cold_ours(folder, space, 0) for _ in range(rounds)])
        make_tasks(api, space, count, suspend=True)
        with ours(folder, space) as operator:
            # Each task gets its first status, so that the starts below find nothing to write.
            operator.ready()
            until(lambda: all(map(is_told, api.tasks(space))), 5)
        before = versions(api, space)
        live = cold(folder, space, count, count, rounds)
        written = len(before.items() ^ versions(api, space).items())
        finish(api, space, count)
        finished = cold(folder, space, count, 0, rounds)
    kept = round(finished["ours"]["rss_mb"] - empty["rss_mb"], 1)
    sizes = {"tasks": count, "rounds": rounds, "written_by_starts": written}
    return {**sizes, "empty": empty, "live": live, "finished": finished, "kept_mb": kept}


def number_or_text(text: str) -> int | str:
    return int(text) if text.isdigit() else text


# Restart.

PATHS = [f"src/{'package_with_a_name/' * 7}module_{n}.py" for n in range(50)]
LARGE = {
    "observedGeneration": 1,
    "phase": "Succeeded",
    "reason": "Completed",
    "message": "m" * 1000,
    "artifacts": {"branch": "agent/x", "filesChanged": PATHS},
}


def one_restart(api: Api, folder: Path, space: str, other: str) -> dict[str, float]:
    proxy = Proxy(api.server, api.context, make_certificates(folder))
    proxy.start()
    config = kubeconfig(folder / "config", proxy.url, folder / "ca.crt", "token")
    environ = {"AGENT_IMAGE": "none", "NAMESPACES": space, "MODEL_PROBE_SECONDS": "0"}
    environ |= {"KUBECONFIG": str(config)} | ({"PYTHONPATH": other} if other else {})
    operator = Operator(folder, environ, f"ours-{secrets.token_hex(2)}")
    operator.start()
    try:
        operator.ready()
        time.sleep(SETTLE_SECONDS)
        assert operator.process
        used = usage(operator.process.pid)
    finally:
        operator.stop()
        proxy.stop()
    sent = sum(call.sent for call in proxy.calls if call.path.endswith("/agenttasks"))
    return {"tasks_mb": round(sent / 2**20, 3), **rounded(used)}


def restart(api: Api, folder: Path, count: int = 2000, other: str = "") -> dict[str, Any]:
    whose = {"ours": "", **({"other": other} if other else {})}
    with namespace(api) as space:
        empty = {name: one_restart(api, folder, space, path) for name, path in whose.items()}
        make_tasks(api, space, count)
        finish(api, space, count, LARGE)
        full = {name: one_restart(api, folder, space, path) for name, path in whose.items()}
    return {"tasks": count, "empty": empty, "finished": full}


def main() -> None:
    """Measure and print."""
    ways: dict[str, Callable[..., Any]] = {
        "latency": latency,
        "burst": burst,
        "memory": memory,
        "restart": restart,
    }
    what = ways[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        api = Api(Path(os.environ["KUBECONFIG"]), Path(folder))
        api.make_class()
        try:
            figures = what(api, Path(folder), *map(number_or_text, sys.argv[2:]))
        finally:
            api.request("DELETE", f"{TASKS}/agentclasses/chaos")
            api.close()
    print(json.dumps({what.__name__: figures, "load": os.getloadavg()}))


if __name__ == "__main__":
    main()
