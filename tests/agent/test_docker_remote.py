"""An engine at an address, as a class names one: real podman served over TCP."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.engine import FILES, SETTINGS, SLEEP, Call, Store, ok, podman, service

from agenttask_agent.tools import docker
from agenttask_agent.tools.docker_engine import Docker, remote_engine
from agenttask_agent.tools.docker_sweep import remove_all
from agenttask_courier import engine as courier_engine

__all__ = ["podman"]  # the fixture


@pytest.fixture(scope="module")
def address(podman: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with service(podman, "127.0.0.1", tmp_path_factory.mktemp("service")) as found:
        yield found


@pytest.fixture
def remote(address: str, tmp_path: Path) -> Iterator[Docker]:
    made = Docker(remote_engine(os.environ, address), SETTINGS, tmp_path)
    yield made
    assert remove_all(made) == []


@pytest.fixture
def do(remote: Docker, make_tools: MakeTools) -> Call:
    tools = make_tools(FILES, role=None, catalogue=docker.OPERATIONS)
    tools.toolbox.context = replace(tools.toolbox.context, docker=remote)
    return lambda operation, **arguments: tools(f"docker.{operation}", **arguments)


def test_every_operation_works_at_a_distance(do: Call):
    built = ok(do("build", tag="app"))
    assert "app:latest" in do("images").output
    assert do("run", image="app", command=["cat", "/hello.txt"]).output == "hello\n"
    ok(do("run", image="app", command=["sh", "-c", "echo up; sleep 600"], detach=True, name="web"))
    assert "web" in do("ps").output
    assert do("exec", container="web", command=["echo", "in"]).output == "in\n"
    assert do("logs", container="web").output == "up\n"
    assert '"Running": true' in do("inspect", name="web").output
    assert do("inspect", name=str(built.metadata["id"])).metadata["kind"] == "image"
    ok(do("stop", container="web"))
    ok(do("rm", container="web"))


def test_limits_and_walls_hold_at_a_distance(do: Call):
    ok(do("build", tag="app"))
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
    script += "; grep NoNewPrivs /proc/self/status; ip link | grep -c ether"
    said = do("run", image="app", command=["sh", "-c", script]).output.split()
    assert said == [str(64 * 1024 * 1024), "NoNewPrivs:", "1", "0"]


def test_the_workspace_cannot_be_mounted_there(do: Call):
    ok(do("build", tag="app"))
    result = do("run", image="app", command=["ls"], volumes=["data:/data"])
    said = "a remote engine cannot mount the workspace; COPY the files in a build"
    assert (result.denied, result.error) == (True, said)


def test_foreign_images_stay_closed(do: Call):
    result = do("run", image="docker.io/library/busybox")
    assert result.denied
    assert "was not built in this run and is not allowed" in str(result.error)


def test_the_courier_removes_what_a_killed_agent_left(do: Call, podman: Store, address: str):
    """Running, ended and image alike; a stranger's container stays."""
    stranger = podman.person_runs()
    ok(do("build", tag="app"))
    ok(do("run", image="app", command=SLEEP, detach=True, name="alive"))
    ok(do("run", image="app", command=["true"], detach=True, name="over"))
    assert asyncio.run(courier_engine.remove(address, "another")) == (0, 0)
    assert asyncio.run(courier_engine.remove(address, SETTINGS.run_key)) == (3, 0)
    assert do("ps", all=True).metadata["containers"] == 0
    assert do("images").metadata["images"] == 0
    assert stranger[:12] in podman.podman("ps", "--quiet")
    podman.podman("rm", "--force", "--time=0", stranger)
