"""How long tasks wait when the leading operator is killed.

    KUBECONFIG=... .venv/bin/python tests/perf/failover.py [ROUNDS]

Needs a cluster with the CRDs and no operator. Each round starts a leader and a warm standby
on this machine, kills the leader (SIGKILL) and creates a task at once. Printed as JSON, in
seconds from the kill: when the standby had the Lease, and when the task had its Job.
"""

import json
import os
import secrets
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.chaos.harness import Api, Operator
from tests.e2e.tasks import eventually


def start(folder: Path, space: str, name: str) -> Operator:
    """Start an operator for one namespace and wait until it is ready."""
    environ = {
        "AGENT_IMAGE": "none",
        "NAMESPACES": space,
        "LEASE_NAMESPACE": space,
        "MODEL_PROBE_SECONDS": "0",
    }
    operator = Operator(folder, environ, name)
    operator.start()
    operator.ready()
    return operator


def one_round(api: Api, folder: Path) -> tuple[float, float]:
    """Return the seconds from the kill to the new Lease and to the new task's Job."""
    space = f"failover-{secrets.token_hex(4)}"
    api.make_namespace(space)
    leader = start(folder, space, "leader")
    eventually(lambda: api.holder(space).startswith("leader"), 30, "a leader")
    standby = start(folder, space, "standby")
    try:
        leader.signal(signal.SIGKILL)
        killed = time.monotonic()
        api.make_task(space, "after")
        eventually(lambda: api.holder(space).startswith("standby"), 60, "a new leader")
        elected = time.monotonic() - killed
        eventually(lambda: api.jobs(space), 60, "the Job")
        return elected, time.monotonic() - killed
    finally:
        leader.stop()
        standby.stop()
        api.request("DELETE", f"/api/v1/namespaces/{space}")


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        api = Api(Path(os.environ["KUBECONFIG"]), Path(folder))
        api.make_class()
        results = [one_round(api, Path(folder)) for _ in range(rounds)]
        api.request("DELETE", "/apis/agenttask.dev/v1alpha1/agentclasses/chaos")
        api.close()
    elected, working = zip(*results, strict=True)
    report = {
        "rounds": rounds,
        "lease_s": {"median": statistics.median(elected), "max": max(elected)},
        "job_s": {"median": statistics.median(working), "max": max(working)},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
