"""An engine at an address, as a class names one: real podman served over TCP."""

import asyncio
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.engine import (
    BASE,
    FILES,
    SETTINGS,
    SLEEP,
    Call,
    Store,
    ok,
    podman,
    service,
    wait_for,
)
from tests.agent.toolboxes import Tools

from agenttask_agent.tools import docker, docker_context
from agenttask_agent.tools.docker_engine import Docker, remote_engine
from agenttask_agent.tools.docker_sweep import remove_all
from agenttask_agent.tools.refusal import ToolError
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
def box(remote: Docker, make_tools: MakeTools) -> Tools:
    tools = make_tools(FILES, role=None, catalogue=docker.OPERATIONS)
    tools.toolbox.context = replace(tools.toolbox.context, docker=remote)
    return tools


@pytest.fixture
def do(box: Tools) -> Call:
    return lambda operation, **arguments: box(f"docker.{operation}", **arguments)


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


def test_a_context_keeps_modes_and_links(do: Call, box: Tools):
    folder = box.root / "sub"
    folder.mkdir()
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("run.sh")
    (folder / "away").symlink_to("/etc/passwd")
    (folder / "Dockerfile").write_text(f"FROM {BASE}\nCOPY . /sub\n")
    ok(do("build", tag="linked", context_path="sub"))
    script = "/sub/link && readlink /sub/away"
    assert do("run", image="linked", command=["sh", "-c", script]).output == "ran\n/etc/passwd\n"


def test_an_archive_is_laid_out_inside_its_folder_only(tmp_path: Path):
    """A folder that became a link while it was packed leads nowhere."""
    with (tmp_path / "context.tar").open("w+b") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            link = tarfile.TarInfo("sub")
            link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
            tar.addfile(link)
            tar.addfile(tarfile.TarInfo("sub/Dockerfile"), io.BytesIO())
        file.seek(0)
        with pytest.raises(ToolError, match="changed while it was read"):
            docker_context.unpack(file, tmp_path / "context")
    assert not (tmp_path / "Dockerfile").exists()


def test_limits_and_walls_hold_at_a_distance(do: Call):
    ok(do("build", tag="app"))
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
    script += "; grep NoNewPrivs /proc/self/status; ip link | grep -c ether"
    said = do("run", image="app", command=["sh", "-c", script]).output.split()
    assert said == [str(64 * 1024 * 1024), "NoNewPrivs:", "1", "0"]


def test_the_engine_itself_ends_a_container_that_nobody_comes_back_for(
    do: Call, box: Tools, remote: Docker, podman: Store
):
    short = replace(remote, settings=replace(SETTINGS, lifetime_seconds=1))
    box.toolbox.context = replace(box.toolbox.context, docker=short)
    ok(do("run", image=BASE, command=SLEEP, detach=True, name="orphan"))
    label = f"label=agenttask.dev/run={SETTINGS.run_key}"
    assert wait_for(lambda: podman.podman("ps", "--quiet", "--filter", label) == "")


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
