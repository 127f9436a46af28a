"""The real cluster, shared by the tests of tests/e2e and tests/chaos."""

import os
import subprocess
from pathlib import Path

import pytest

from agenttask_testbed import images, product
from agenttask_testbed.commands import Kubectl

collect_ignore = [] if os.environ.get("AGENTTASK_VLLM") else ["vllm"]
"""Whoever has no vLLM does not see its tests: a skipped test looks like a passed one."""


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
