"""Git through a proxy, and credentials that go to the repository's own host alone."""

import base64
import shutil
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin
from tests.courier.pod import running_pod
from tests.courier.test_run import FIX
from tests.servers.certs import Certificates
from tests.servers.connectproxy import connect_proxy
from tests.servers.githttps import PASSWORD, git_server
from tests.servers.vllm import VLLM

from agenttask_api.clonefacts import CloneFailure
from agenttask_courier.clone import clone
from agenttask_courier.places import Places


async def test_clone_and_push_go_through_the_proxy(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    with connect_proxy() as proxy:
        document = make_document(git={"proxy": proxy.url})
        async with running_pod(places, document, vllm.url) as pod:
            cloned = list(proxy.asked)
            await pod.agent.attach()
            commit = pod.agent.commit(FIX)
            await pod.agent.hand_in()
            assert (await pod.agent.receipt())["phase"] == "Succeeded"
    assert cloned
    assert len(proxy.asked) > len(cloned)
    assert set(proxy.asked) == {f"CONNECT 127.0.0.1:{origin.server.port}"}
    assert origin.commit("agenttask/fix-add") == commit
    assert "proxy" not in (places.repo / ".git" / "config").read_text("utf-8")


def test_hosts_without_the_proxy_are_reached_directly(
    places: Places, origin: Origin, make_document: MakeDocument
):
    with connect_proxy() as proxy:
        policy = {"proxy": proxy.url, "noProxy": ["127.0.0.1"]}
        assert clone(places, make_document(git=policy)) == 0
    assert proxy.asked == []


def test_a_proxy_that_is_away_is_worth_another_pod(
    places: Places, origin: Origin, make_document: MakeDocument
):
    document = make_document(git={"proxy": "http://127.0.0.1:9"})
    assert clone(places, document, sleep=lambda _: None) == 75


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_redirection_to_another_host_gets_no_credentials(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    certificates: Certificates,
    tmp_path: Path,
    asked_before: bool,
):
    origin.server.auth = asked_before
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(origin.server.root / "project.git", other / "project.git")
    with git_server(other, certificates) as stranger:
        origin.server.redirect_to = stranger.url("project.git")
        assert clone(places, make_document()) == 1
    assert stranger.requests
    assert [a for a in stranger.authorizations if a] == []
    failure = CloneFailure.model_validate_json(places.termination_log.read_text("utf-8"))
    assert failure.reason == "CloneAuthFailed"
    seen = base64.b64encode(f"courier:{PASSWORD}".encode()).decode()
    assert (seen in "".join(origin.server.authorizations)) is asked_before
