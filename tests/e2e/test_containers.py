"""The docker tools in the pod: at the class's engine, a real podman beside the cluster."""

import os
import signal
from collections.abc import Iterator

import pytest
from tests.agent import engine
from tests.agent.engine import BASE, Store
from tests.e2e.tasks import (
    PYTEST,
    Home,
    agent_class,
    eventually,
    host_address,
    host_pids,
    logs,
    pods,
    result_of,
    task,
    until,
)

from agenttask_testbed import images
from agenttask_testbed.commands import Kubectl
from agenttask_testbed.demo import NATS_URL, REHEARSAL_MODEL, WHERE

ONE_OF_OURS = "label=agenttask.dev/run"


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with engine.store() as made:
        yield made


@pytest.fixture(scope="module")
def address(
    store: Store, testbed: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Serve the engine where pods reach it: at this machine's end of the link to the node."""
    with engine.service(store, host_address(testbed), tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture(scope="module")
def with_engine(testbed: Kubectl, address: str, fresh_cluster_name: str) -> str:
    """Return a class with an engine; the image of one of its toolchains has no client."""
    images.build(images.CONTAINERS)
    images.load(images.CONTAINERS, fresh_cluster_name)
    at = {"dockerHost": address, "dockerImages": [BASE.rpartition(":")[0]]}
    toolchains = [
        {"name": "containers", "image": images.CONTAINERS.tag, **at},
        {"name": "plain", **at},
    ]
    model = {"endpoint": f"http://model.{WHERE}.svc:8000", "name": REHEARSAL_MODEL}
    base = {"spec": {"model": model, "nats": {"url": NATS_URL}}}
    testbed.apply(agent_class("with-engine", base, toolchains=toolchains))
    return "with-engine"


def left(store: Store) -> tuple[list[str], list[str]]:
    """Return the containers and images of any run."""
    containers = store.podman("ps", "--all", "--quiet", "--filter", ONE_OF_OURS)
    return containers.split(), store.podman("images", "--quiet", "--filter", ONE_OF_OURS).split()


def test_a_task_builds_and_runs_containers_and_leaves_none(
    home: Home, with_engine: str, store: Store
) -> None:
    stranger = store.person_runs()
    wanted = {"role": "DEVOPS", "className": with_engine, "verify": [PYTEST]}
    home.apply(task("boxes", "Let a container say it.", **wanted))

    state = until(home, "boxes", phase="Succeeded", verdict="Verified")

    done = [(o["operation"], o["success"]) for o in result_of(home, "boxes")["operations"]]
    assert done == [
        ("files.write_file", True),
        ("docker.build", True),
        ("docker.run", True),
        ("docker.run", True),
        ("docker.exec", True),
        ("docker.run", False),
        ("docker.run", False),
        ("files.append_file", True),
    ]
    assert state["operations"]["denied"] == 2
    assert "a remote engine cannot mount the workspace" in str(result_of(home, "boxes"))
    eventually(lambda: left(store) == ([], []), 30, "the engine to be clear")
    assert stranger[:12] in store.podman("ps", "--quiet")
    store.podman("rm", "--force", "--time=0", stranger)


def test_what_a_killed_agent_left_is_removed(home: Home, with_engine: str, store: Store) -> None:
    wanted = {"role": "DEVOPS", "className": with_engine, "toolchain": "containers"}
    home.apply(task("killed", "Start a container and wait.", **wanted))
    eventually(lambda: left(store)[0], 60, "the container to run")

    pids = host_pids(pods(home, "killed")[0]["metadata"]["uid"], "agenttask-agent run")
    assert pids, "the agent's process was not found"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    until(home, "killed", phase="Failed", reason="NoResult")
    eventually(lambda: left(store) == ([], []), 30, "the engine to be clear")
    said = logs(home, "killed")
    assert '"event": "engine.tidy", "removed": 2, "left": 0' in said


def test_without_a_client_the_agent_starts_and_works_without(home: Home, with_engine: str) -> None:
    wanted = {"role": "DEVOPS", "className": with_engine, "toolchain": "plain", "verify": [PYTEST]}
    home.apply(task("plain", "Work with what there is.", **wanted))

    until(home, "plain", phase="Succeeded", verdict="Verified")

    said = "not available: docker (podman: not installed; docker: not installed)"
    assert said in logs(home, "plain")
    result = result_of(home, "plain")
    assert said in [thought["content"] for thought in result["reasoning_log"]]
    assert "not available: go is not installed in this image" in str(result["operations"])
    done = [(o["operation"], o["success"]) for o in result["operations"]]
    assert ("tests.go_test", False) in done
    assert ("files.append_file", True) in done
