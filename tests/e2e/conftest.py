"""The real cluster, with operator, git server, NATS and rehearsal server in it."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.tasks import Home

from agenttask_testbed import images, product, services
from agenttask_testbed.commands import ROOT, Kubectl
from agenttask_testbed.demo import NATS_URL, REHEARSAL_MODEL, WHERE

Run = Callable[..., str]
TENANTS = {
    name: {"namespace": f"e2e-tenant-{name}", "serviceAccount": "agenttask-tenant"}
    for name in ("a", "b")
}
"""Whom tests/e2e/test_nats_commands.py plays."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lives in this folder needs the cluster."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def loaded_images(cluster: Kubectl, fresh_cluster_name: str) -> None:
    """All images, built and loaded."""
    images.build_and_load(fresh_cluster_name, print)


@pytest.fixture(scope="session")
def git_access(cluster: Kubectl, loaded_images: None) -> services.GitAccess:
    """The git server, serving the testbed's repository."""
    cluster.apply(services.namespace(WHERE))
    access = services.deploy_git(cluster, WHERE, {"hello": ROOT / "hack" / "testbed" / "repo"})
    services.grant_git(cluster, WHERE, access)
    return access


@pytest.fixture(scope="session")
def operator_values() -> dict[str, Any]:
    """What the chart of the testbed's operator is given."""
    return {"nats": {"url": NATS_URL}, "clusterID": "test", "commands": {"tenants": TENANTS}}


@pytest.fixture(scope="session")
def testbed(
    crds: Kubectl, git_access: services.GitAccess, operator_values: dict[str, Any]
) -> Kubectl:
    """The cluster with everything a task needs, and a default class."""
    services.deploy_nats(crds, WHERE)
    scripts = [*sorted((ROOT / "examples" / "rehearsals").glob("*.yaml"))]
    scripts += sorted((ROOT / "tests" / "e2e" / "rehearsals").glob("*.yaml"))
    services.deploy_model(crds, WHERE, scripts)
    services.wait_for(crds, WHERE, "nats", "git", "model")
    product.install_operator(crds, operator_values)
    endpoint = f"http://model.{WHERE}.svc:8000"
    crds.apply(product.default_class(endpoint, REHEARSAL_MODEL, NATS_URL))
    return crds


@pytest.fixture
def kubectl(crds: Kubectl) -> Run:
    """Run kubectl: `kubectl("get", "pods", input=text)`; raises CommandFailed."""

    def call(*args: str, input: str | None = None) -> str:  # noqa: A002
        return crds(*args, stdin=input)

    return call


@pytest.fixture
def namespace(cluster: Kubectl) -> Iterator[str]:
    """A fresh namespace that enforces Pod Security `restricted`."""
    name = f"e2e-{secrets.token_hex(4)}"
    cluster.apply(services.namespace(name))
    yield name
    cluster("delete", "namespace", name, "--wait=false")


@pytest.fixture
def home(testbed: Kubectl, namespace: str, git_access: services.GitAccess) -> Home:
    """A namespace whose tasks can reach the git server."""
    services.grant_git(testbed, namespace, git_access)
    return Home(testbed, namespace)
