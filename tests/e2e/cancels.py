"""Cancel a task whose agent asks the model all the time, and count what the model was asked.

Counted where the requests arrive: the rehearsal server prints each, and the container
runtime adds the time, by the clock of the machine that this runs on.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.e2e.tasks import Home, eventually, pods, task

from agenttask_testbed.demo import WHERE

BUSY = "Write one line after another into lines.txt."
ASKED = "POST /v1/chat/completions"


@dataclass(frozen=True)
class Cancelled:
    """When the model was asked, in seconds since the cancel was sent."""

    asked_before: list[float]
    asked_after: list[float]
    gate_closed: float
    """When the courier let nothing more through, whoever asks."""


def cancel_a_busy_task(home: Home, name: str) -> Cancelled:
    """Run a task alone, cancel it in the middle, and wait until its pod is gone."""
    begun = datetime.now(UTC)
    home.apply(task(name, BUSY))
    eventually(lambda: len(asked_since(home, begun)) >= 3, 120, "the agent to ask the model")
    with _courier_log(home, pods(home, name)[0]["metadata"]["name"]) as following:
        cancelled = datetime.now(UTC)
        home.run("patch", "agenttask", name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
        said, _ = following.communicate(timeout=120)
    eventually(lambda: not pods(home, name), 90, "the pod to go")
    asked = [(at - cancelled).total_seconds() for at in asked_since(home, begun)]
    before, after = [s for s in asked if s <= 0], [s for s in asked if s > 0]
    return Cancelled(before, after, (_gate_closed(said) - cancelled).total_seconds())


def asked_since(home: Home, begun: datetime) -> list[datetime]:
    """Return when the model was asked for a completion since then, by anybody."""
    since = f"--since-time={begun:%Y-%m-%dT%H:%M:%SZ}"
    log = home.kubectl("-n", WHERE, "logs", "deploy/model", "--timestamps", since)
    told = [line.split(" ", 1) for line in log.splitlines() if line.endswith(ASKED)]
    times = [datetime.fromisoformat(at) for at, _ in told]
    return [at for at in times if at >= begun]


@contextmanager
def _courier_log(home: Home, pod: str) -> "Iterator[subprocess.Popen[str]]":
    """Follow the log: the pod is gone before it could be read."""
    kubectl = home.kubectl
    where = ("--kubeconfig", kubectl.kubeconfig, "-n", home.namespace)
    argv = [kubectl.path, *where, "logs", "-f", pod, "-c", "courier"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as following:
        try:
            yield following
        finally:
            following.terminate()


def _gate_closed(log: str) -> datetime:
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (closed,) = [event["ts"] for event in events if event["event"] == "gate.closed"]
    return datetime.fromisoformat(closed)
