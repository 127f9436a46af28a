"""Flux and Argo CD against the real cluster, with the operator in it: `make test-gitops`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import git_access, home, loaded_images, namespace, testbed
from tests.gitops.argo import Argo, argo_running
from tests.gitops.flux import Flux, flux_running
from tests.gitops.repository import Repository, make_repository
from tests.servers.githttps import GitServer, git_server

from agenttask_testbed.commands import Kubectl

__all__ = ["git_access", "home", "loaded_images", "namespace", "testbed"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """The git server of the platform's repository, on this machine."""
    with git_server(tmp_path_factory.mktemp("git"), None, auth=False) as found:
        yield found


@pytest.fixture
def repository(server: GitServer, namespace: str) -> Repository:
    """An empty repository of the test's own."""
    return make_repository(server.root, namespace, server.url(f"{namespace}.git"))


@pytest.fixture(scope="session")
def flux(testbed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    with flux_running(testbed, tmp_path_factory.mktemp("flux")) as found:
        yield found


@pytest.fixture(scope="session")
def argo(testbed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Argo]:
    folder: Path = tmp_path_factory.mktemp("argo")
    with argo_running(testbed, folder) as found:
        yield found
