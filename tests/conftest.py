"""The real cluster, shared by the tests of tests/e2e and tests/chaos; who may run beside whom."""

import os
import subprocess
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from agenttask_testbed import images, product
from agenttask_testbed.commands import Kubectl

OPT_IN = {"vllm": "AGENTTASK_VLLM", "gitops": "AGENTTASK_GITOPS"}
collect_ignore = [name for name, variable in OPT_IN.items() if not os.environ.get(variable)]
"""Folders that are not even seen unless asked for: a skipped test looks like a passed one."""

CLUSTER_FOLDERS = ("tests/e2e/", "tests/chaos/", "tests/vllm/", "tests/gitops/")
WITHOUT_CLUSTER = ("tests/e2e/test_full_image.py",)
"""Of those folders: it needs no cluster, so it runs beside the others."""


class SharedOut(LoadScopeScheduling):  # type: ignore[misc]
    """Shares tests among worker processes: one has the cluster, and a file is never divided."""

    def _split_scope(self, nodeid: str) -> str:
        return worker_group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedOut:
    """Tell pytest-xdist (`-n 2`) who may run beside whom."""
    return SharedOut(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the cluster's tests first: they take longest and cannot be divided.

    Of them those come first that run operators of their own: the others install one for good.
    """
    items.sort(
        key=lambda item: (
            worker_group(item.nodeid) != "cluster",
            not item.nodeid.startswith("tests/chaos/"),
        )
    )


def worker_group(nodeid: str) -> str:
    """Return what must run in one process: all that needs the one cluster, else the file."""
    file = nodeid.partition("::")[0]
    return "cluster" if file.startswith(CLUSTER_FOLDERS) and file not in WITHOUT_CLUSTER else file


@pytest.fixture(scope="session")
def fresh_cluster_name(request: pytest.FixtureRequest) -> str:
    """Remove what a killed run left behind, before kind_cluster would reuse it."""
    name: str = request.config.getoption("cluster_name")
    if not request.config.getoption("keep_cluster"):
        subprocess.run([images.KIND, "delete", "cluster", "--name", name], check=True)
    return name


@pytest.fixture(scope="session")
def cluster(fresh_cluster_name: str, request: pytest.FixtureRequest) -> Kubectl:
    """kubectl for the running cluster."""
    kind = request.getfixturevalue("kind_cluster")
    return Kubectl(str(Path(kind.kubectl_path).absolute()), str(kind.kubeconfig_path.absolute()))


@pytest.fixture(scope="session")
def crds(cluster: Kubectl) -> Kubectl:
    """The cluster with the resource definitions."""
    product.install_crds(cluster)
    return cluster
