"""A real engine for network policies, in the node of the tests' cluster: kube-router.

Old, and with known flaws: good enough to hold policies against, and for nothing else.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.tasks import eventually

from agenttask_cluster import cgroups, node, packages, records
from agenttask_cluster.processes import Process, run
from agenttask_testbed import images

CHAIN = "KUBE-ROUTER-FORWARD"
RULES = ("KUBE-ROUTER", "KUBE-POD-FW", "KUBE-NWPLCY")
"""What its chains' names begin with."""


@contextmanager
def enforcing(cluster: str) -> Iterator[None]:
    """Have the cluster's network policies enforced until the block ends."""
    layout, record = records.require_layout(cluster), records.read(cluster)
    assert record
    keeper = record.node
    assert keeper
    packages.ensure({"ipset": "ipset"}, print)
    command = [
        images.binary("kube-router"),
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        f"--hostname-override={layout.node}",
        f"--kubeconfig={layout.config / 'network.kubeconfig'}",
        f"--service-cluster-ip-range={layout.services}",
    ]
    admin = (layout.config / "admin.kubeconfig").read_text("utf-8")
    inside = admin.replace(layout.server, "https://127.0.0.1:6443")
    (layout.config / "network.kubeconfig").write_text(inside, encoding="utf-8")
    process = node.spawn(layout, cgroups.create(layout.cgroup), keeper, command, "/usr/sbin")
    try:
        eventually(lambda: CHAIN in _saved(keeper), 60, "the engine's rules")
        yield
    finally:
        os.kill(process.pid, signal.SIGKILL)
        _forget(keeper)


def _saved(keeper: Process) -> str:
    return run(*node.enter(keeper, "iptables-save"))


def _forget(keeper: Process) -> None:
    """Leave the others' rules as they are."""
    kept = [line for line in _saved(keeper).splitlines() if not any(r in line for r in RULES)]
    restore = node.enter(keeper, "iptables-restore")
    subprocess.run(restore, input="\n".join([*kept, ""]), text=True, check=True)
