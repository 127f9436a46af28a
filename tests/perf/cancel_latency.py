"""How long after `spec.cancel` the model is still asked, on a running demo cluster.

    make demo && PYTHONPATH=hack/testbed .venv/bin/python -m tests.perf.cancel_latency [ROUNDS]

Each round cancels an agent that asks the model twice a second. Printed as JSON, in seconds
since the cancel was sent, median and worst: the last request that reached the model (0 =
none did after it), and the closing of the gate, after which nobody can ask.
"""

import json
import statistics
import sys

from tests.e2e.cancels import Cancelled, cancel_a_busy_task
from tests.e2e.tasks import Home

from agenttask_testbed import images, services
from agenttask_testbed.commands import ROOT, Kubectl
from agenttask_testbed.demo import KUBECONFIG, WHERE

ROUNDS = 10


def measure(kubectl: Kubectl, rounds: int) -> list[Cancelled]:
    """Return what each round showed."""
    scripts = [*sorted((ROOT / "examples" / "rehearsals").glob("*.yaml"))]
    services.deploy_model(kubectl, WHERE, [*scripts, ROOT / "tests/e2e/rehearsals/busy.yaml"])
    kubectl("-n", WHERE, "rollout", "restart", "deploy/model")
    services.wait_for(kubectl, WHERE, "model")
    home = Home(kubectl, WHERE)
    return [cancel_a_busy_task(home, f"cancelled-{number}") for number in range(rounds)]


def figures(seconds: list[float]) -> dict[str, float]:
    """Return median and worst."""
    return {"median": round(statistics.median(seconds), 2), "worst": round(max(seconds), 2)}


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    told = measure(Kubectl(images.binary("kubectl"), str(KUBECONFIG)), rounds)
    last = figures([max([0.0, *one.asked_after]) for one in told])
    closed = figures([one.gate_closed for one in told])
    sys.stdout.write(
        json.dumps({"rounds": rounds, "lastRequest": last, "gateClosed": closed}) + "\n"
    )


if __name__ == "__main__":
    main()
