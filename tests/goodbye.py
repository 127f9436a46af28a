"""A plugin of `hack/test`: a run that is told to stop takes its cluster away.

SIGTERM, from `timeout` for example, then does what Ctrl-C does: fixtures are taken down, the
cluster's among them. What a fixture could not (one that was about to make the cluster, or that
lives in a worker process of pytest-xdist) is made up for at the end.
"""

import signal
import subprocess
from types import FrameType

import pytest

STOPPED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Listen for SIGTERM."""

    def stop(_: int, __: FrameType | None) -> None:
        # `timeout` sends it to its child and to the group: the second one must not cut us off.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        config.stash[STOPPED] = True
        raise KeyboardInterrupt("told to stop")

    signal.signal(signal.SIGTERM, stop)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Delete what is left of the cluster; one that is gone already is fine."""
    worker = hasattr(config, "workerinput")
    if STOPPED not in config.stash or worker or config.getoption("keep_cluster"):
        return
    name = config.getoption("cluster_name")
    argv = [config.getoption("kind_bin"), "delete", "cluster", "--name", name]
    subprocess.run(argv, check=False)
