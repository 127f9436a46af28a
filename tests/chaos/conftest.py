"""The real API server, operator processes beside it, a proxy between them, a real NATS."""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from tests.chaos.harness import CLASS, PROMPT, TOKEN, Api, Operator, kubeconfig
from tests.chaos.proxy import Proxy
from tests.servers.certs import Certificates, make_certificates
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_operator.cluster import Cluster
from agenttask_operator.connection import Connection
from agenttask_testbed.commands import Kubectl
from agenttask_testbed.product import SYSTEM

CLASS_PATH = f"/apis/agenttask.dev/v1alpha1/agentclasses/{CLASS}"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lives in this folder needs the cluster."""
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.e2e)
        if item.get_closest_marker("slow") and not os.environ.get("AGENTTASK_SLOW_TESTS"):
            reason = "slow: AGENTTASK_SLOW_TESTS=1, as `make chaos` sets it"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def installed_operator_rests(crds: Kubectl) -> Iterator[None]:
    """An operator that other tests installed would act beside ours: it pauses meanwhile."""
    where = ("-n", SYSTEM, "deploy/agenttask-operator")
    there = crds("-n", SYSTEM, "get", "deploy", "-o", "name", "--ignore-not-found").strip()
    if there:
        crds("scale", *where, "--replicas=0")
        crds("wait", "-n", SYSTEM, "--for=delete", "pod", "--all", "--timeout=90s")
    yield
    if there:
        crds("scale", *where, "--replicas=2")


@pytest.fixture(scope="session")
def api(
    crds: Kubectl, installed_operator_rests: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    found = Api(Path(crds.kubeconfig), tmp_path_factory.mktemp("admin"))
    try:
        if not found.get(CLASS_PATH):
            found.make_class()
        yield found
        found.request("DELETE", CLASS_PATH)
    finally:
        found.close()


@pytest.fixture
def space(api: Api) -> Iterator[str]:
    """A fresh namespace."""
    name = f"chaos-{secrets.token_hex(4)}"
    api.make_namespace(name)
    yield name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def proxy(api: Api, certificates: Certificates) -> Iterator[Proxy]:
    server = Proxy(api.server, api.context, certificates)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def client(crds: Kubectl) -> AsyncIterator[Cluster]:
    # Not `Cluster.connect`: the client reads KUBECONFIG when it is imported.
    configuration = Configuration()
    await load_kube_config(crds.kubeconfig, client_configuration=configuration)
    connected = Cluster(Connection(ApiClient(configuration)))
    yield connected
    await connected.close()


MakeOperator = Callable[..., Operator]


@pytest.fixture
def operator(
    api: Api,
    crds: Kubectl,
    space: str,
    nats: NatsServer,
    certificates: Certificates,
    tmp_path: Path,
) -> Iterator[MakeOperator]:
    """Make an operator for the namespace: `operator("one", proxy=proxy)`; it is not started."""
    made: list[Operator] = []

    def make(name: str, proxy: Proxy | None = None, **more: str) -> Operator:
        config = Path(crds.kubeconfig)
        if proxy:
            config = kubeconfig(tmp_path / name, proxy.url, certificates.ca, TOKEN)
        environ = {
            "KUBECONFIG": str(config),
            "AGENT_IMAGE": "none",
            "NATS_URL": nats.url,
            "NAMESPACES": space,
            "LEASE_NAMESPACE": space,
            "MODEL_PROBE_SECONDS": "0",
            **more,
        }
        made.append(Operator(tmp_path, environ, name))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        said = one.log.read_text("utf-8") if one.log.exists() else ""
        assert PROMPT not in said
        assert TOKEN not in said
