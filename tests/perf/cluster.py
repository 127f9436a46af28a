"""Run a command with a cluster of its own, which has the CRDs and no operator.

    PYTHONPATH=hack/testbed .venv/bin/python -m tests.perf.cluster [--name N] [--fast] -- COMMAND

The command finds KUBECONFIG, and in CLUSTER the name. --fast raises the rates of the control
plane's own clients (`cluster.yaml`). The cluster is removed at the end.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agenttask_testbed import images, product
from agenttask_testbed.commands import Kubectl, run

FAST = Path(__file__).parent / "cluster.yaml"


@contextmanager
def cluster(name: str, folder: Path, fast: bool) -> Iterator[Path]:
    """Give the kubeconfig of a cluster that lives as long as the block."""
    config = folder / "kubeconfig"
    rates = ("--config", str(FAST)) if fast else ()
    where = ("--name", name, "--kubeconfig", str(config))
    # A run that was killed has left its own behind.
    run(images.KIND, "delete", "cluster", *where)
    run(images.KIND, "create", "cluster", *where, *rates, "--wait", "2m")
    try:
        product.install_crds(Kubectl(images.binary("kubectl"), str(config)))
        yield config
    finally:
        run(images.KIND, "delete", "cluster", *where)


def main() -> None:
    """Run the command and exit as it does."""
    parser = argparse.ArgumentParser(prog="tests.perf.cluster")
    parser.add_argument("--name", default="agenttask-perf")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    # One that is told to stop takes its cluster away, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(asked.name, Path(folder), asked.fast) as config,
    ):
        environ = {**os.environ, "KUBECONFIG": str(config), "CLUSTER": asked.name}
        sys.exit(subprocess.run(asked.command, env=environ).returncode)


if __name__ == "__main__":
    main()
