"""When each task of a namespace was first seen in each state, by watching as a user would."""

import json
import statistics
import threading
import time
from collections import Counter
from typing import Any

import httpx
from tests.chaos.harness import TASKS, Api

from agenttask_api import names

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
STEPS = (
    ("applied", "Job", "apply -> Job"),
    ("Job", "Running", "Job -> Running"),
    ("Running", "Succeeded", "Running -> Succeeded"),
    ("applied", "Succeeded", "apply -> Succeeded"),
)


class Sightings:
    """What was seen so far. Nothing but names and the columns of `kubectl get` is asked for."""

    def __init__(self, api: Api, space: str) -> None:
        self._api, self._space = api, space
        self.begun = time.monotonic()
        self.at: dict[str, dict[str, float]] = {}
        """By task and state, in seconds of the monotonic clock; only the first of each."""
        self.jobs: dict[str, set[str]] = {}
        """Uids of the Jobs that each task has had."""
        self._phase = 0

    def start(self) -> None:
        """Watch from now on, in threads that end with the process."""
        tasks = f"{TASKS}/namespaces/{self._space}/agenttasks"
        jobs = f"/apis/batch/v1/namespaces/{self._space}/jobs"
        for path, kind, see in ((tasks, TABLE, self._task), (jobs, METADATA, self._job)):
            threading.Thread(target=self._watch, args=(path, kind, see), daemon=True).start()
        self.begun = time.monotonic()

    def note(self, task: str, state: str) -> None:
        """A task is in this state now."""
        self.at.setdefault(task, {}).setdefault(state, time.monotonic())

    def count(self, state: str) -> int:
        """Return how many tasks were seen in that state."""
        return self.counts()[state]

    def counts(self) -> Counter[str]:
        """Return how many tasks were seen in each state."""
        return Counter(state for seen in list(self.at.values()) for state in list(seen))

    def curve(self, points: int = 100) -> dict[str, list[tuple[float, int]]]:
        """Return how many had been seen in each state, over the seconds since the start."""
        states = {state for seen in self.at.values() for state in seen}
        times = {
            state: sorted(seen[state] - self.begun for seen in self.at.values() if state in seen)
            for state in states
        }
        return {state: thinned(found, points) for state, found in times.items()}

    def _watch(self, path: str, kind: str, see: Any) -> None:
        client = httpx.Client(
            base_url=self._api.server, verify=self._api.context, timeout=None, trust_env=False
        )
        version: dict[str, Any] = {}
        while "resourceVersion" not in version:
            # A server that has just learned of the kind may ask for patience.
            version = client.get(f"{path}?limit=1").json()["metadata"]
        while True:
            query = f"{path}?watch=true&resourceVersion={version['resourceVersion']}"
            with client.stream("GET", query, headers={"Accept": kind}) as reply:
                for line in reply.iter_lines():
                    version = see(json.loads(line)["object"]) or version

    def _task(self, table: dict[str, Any]) -> dict[str, Any]:
        """A table with one row; only the first names the columns."""
        columns = [c["name"] for c in table.get("columnDefinitions") or []]
        if columns:
            self._phase = columns.index("Phase")
        row = table["rows"][0]
        metadata: dict[str, Any] = row["object"]["metadata"]
        if phase := row["cells"][self._phase]:
            self.note(metadata["name"], phase)
        return metadata

    def _job(self, job: dict[str, Any]) -> dict[str, Any]:
        metadata: dict[str, Any] = job["metadata"]
        task = metadata["labels"][names.LABEL_TASK]
        self.jobs.setdefault(task, set()).add(metadata["uid"])
        self.note(task, "Job")
        return metadata


def thinned(times: list[float], points: int) -> list[tuple[float, int]]:
    """Return at most so many points of a rising count, the last one among them."""
    step = max(1, len(times) // points)
    kept = [*range(0, len(times), step), len(times) - 1]
    return [(round(times[n], 2), n + 1) for n in kept]


def spans(at: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return p50, p99 and the longest of each step of a task, in seconds."""
    found = {}
    for begin, end, name in STEPS:
        seconds = [
            max(0.0, seen[end] - seen[begin]) for seen in at.values() if {begin, end} <= {*seen}
        ]
        if len(seconds) < 2:
            continue
        cuts = statistics.quantiles(seconds, n=100)
        found[name] = {
            "p50": round(cuts[49], 3),
            "p99": round(cuts[98], 3),
            "max": round(max(seconds), 3),
        }
    return found
