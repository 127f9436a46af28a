"""The courier clears a run's engine when the agent is gone, and no engine changes an outcome."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.agent.engine import Store, service, store
from tests.courier.conftest import MakeDocument
from tests.courier.pod import running_pod
from tests.servers.vllm import VLLM

from agenttask_api.engine import run_word
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.places import Places


@pytest.fixture(scope="module")
def podman() -> Iterator[Store]:
    with store() as made:
        yield made


@pytest.fixture(scope="module")
def address(podman: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with service(podman, "127.0.0.1", tmp_path_factory.mktemp("service")) as found:
        yield found


def leave_behind(podman: Store, word: str) -> str:
    """Start what an agent's docker.run would have started for the run; return its id."""
    kind = "--label=agenttask.dev/kind=container"
    return podman.person_runs(f"--label=agenttask.dev/run={word}", kind)


async def killed_agent(places: Places, document: TaskDocument, vllm: VLLM) -> str:
    """See a run through whose agent dies; return the outcome's reason."""
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        await pod.agent.die()
        return str((await pod.settled()).reason)


async def test_containers_of_a_killed_agent_are_removed_and_no_others(
    places: Places, make_document: MakeDocument, vllm: VLLM, podman: Store, address: str, capfd
):
    document = make_document(docker_host=address)
    mine, sibling = [
        await asyncio.to_thread(leave_behind, podman, run_word(document.identity, index))
        for index in ("0", "1")
    ]
    assert await killed_agent(places, document, vllm) == "NoResult"
    left = podman.podman("ps", "--all", "--quiet", "--no-trunc")
    assert mine not in left
    assert sibling in left
    assert '"event": "engine.tidy", "removed": 1, "left": 0' in capfd.readouterr().out


async def test_an_engine_that_is_gone_changes_nothing_but_the_log(
    places: Places, make_document: MakeDocument, vllm: VLLM, capfd
):
    document = make_document(docker_host="tcp://127.0.0.1:1")
    assert await killed_agent(places, document, vllm) == "NoResult"
    assert '"event": "engine.untidy", "error": "ClientConnectorError' in capfd.readouterr().out


async def test_a_run_without_an_engine_asks_none(
    places: Places, make_document: MakeDocument, vllm: VLLM, capfd
):
    assert await killed_agent(places, make_document(), vllm) == "NoResult"
    assert "engine." not in capfd.readouterr().out
