"""Building images with real podman, and what a build cannot do."""

import json
import os
from pathlib import Path

import pytest
from tests.agent.engine import BASE, KEY, Call, Store, do, make_docker, ok, podman

from agenttask_agent.tools.docker_sweep import remove_all

__all__ = ["do", "make_docker", "podman"]  # the fixtures


def test_build_makes_an_image_that_run_finds_by_its_tag(do: Call, podman: Store):
    built = ok(do("build", tag="app:1"))
    assert built.metadata["image"] == f"localhost/agenttask/{KEY}/app:1"
    assert ok(do("run", image="app:1", command=["cat", "/hello.txt"])).output == "hello\n"
    labels = json.loads(podman.podman("image", "inspect", str(built.metadata["id"])))[0]["Labels"]
    assert labels["agenttask.dev/run"] == KEY


def test_build_without_a_tag_is_found_by_its_id(do: Call):
    image = str(ok(do("build")).metadata["id"])
    assert ok(do("run", image=image, command=["cat", "/hello.txt"])).output == "hello\n"
    assert ok(do("run", image=image.removeprefix("sha256:")[:12], command=["true"])).exit_code == 0


def test_build_fails_with_its_output(make_docker):
    tools = make_docker({"Dockerfile": f"FROM {BASE}\nRUN echo before && exit 7\n"})
    result = tools("docker.build")
    assert not result.ok
    assert "before" in result.output


def test_an_own_image_can_be_the_base_of_another(make_docker):
    tools = make_docker()
    name = str(ok(tools("docker.build", tag="app")).metadata["image"])
    (tools.root / "Dockerfile").write_text(
        f'FROM {name} AS one\nFROM one\nCMD ["cat", "/hello.txt"]'
    )
    ok(tools("docker.build", tag="two"))
    assert ok(tools("docker.run", image="two")).output == "hello\n"


def test_build_has_no_network_and_limits(make_docker):
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max"
    text = f"FROM {BASE}\nRUN ip link; {limit}\n"
    result = ok(make_docker({"Dockerfile": text})("docker.build"))
    assert "eth0" not in result.output
    assert str(64 * 1024 * 1024) in result.output


def test_a_build_that_takes_too_long_is_ended_with_all_it_started(make_docker, podman: Store):
    marker = f"6{os.getpid()}"
    text = f"FROM {BASE}\nRUN sleep {marker}\n"
    tools = make_docker({"Dockerfile": text}, build_seconds=3.0)
    result = tools("docker.build")
    assert "ended" in str(result.error)
    assert not running(f"sleep\0{marker}")
    assert podman.podman("ps", "--all", "--external", "--quiet") == ""


def running(command_line: str) -> bool:
    wanted = command_line.encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted in path.read_bytes():
                return True
        except OSError:
            continue
    return False


def test_a_build_leaves_nothing_unlabelled_behind(make_docker, podman: Store):
    before = set(podman.podman("images", "--all", "--quiet", "--no-trunc").split())
    first = f"FROM {BASE} AS one\nRUN echo 1 > /a\nRUN echo 2 > /b\n"
    text = f"{first}FROM {BASE}\nCOPY --from=one /a /a\n"
    tools = make_docker({"Dockerfile": text})
    ok(tools("docker.build", tag="x"))
    assert remove_all(tools.toolbox.context.docker) == []
    assert set(podman.podman("images", "--all", "--quiet", "--no-trunc").split()) == before


def test_links_in_the_context_lead_nowhere(make_docker):
    tools = make_docker({"Dockerfile": f"FROM {BASE}\nCOPY link /taken\n"})
    (tools.root / "link").symlink_to("/etc/passwd")
    assert not tools("docker.build").ok
    (tools.root / "Dockerfile").unlink()
    (tools.root / "Dockerfile").symlink_to("/etc/passwd")
    assert tools("docker.build").denied


def test_the_context_holds_no_repository(make_docker):
    tools = make_docker({"Dockerfile": f"FROM {BASE}\nCOPY . /all\nRUN ls -a /all\n"})
    result = ok(tools("docker.build"))
    assert "hello.txt" in result.output
    assert ".git" not in result.output.split()


def test_a_context_that_is_too_large_is_refused(make_docker):
    tools = make_docker({"big.txt": "x" * 5000}, context_bytes=4000)
    assert "too large" in str(tools("docker.build").error)


@pytest.mark.parametrize(
    "arguments",
    [
        {"context_path": "../"},
        {"context_path": "/etc"},
        {"context_path": "--privileged"},
        {"context_path": "data"},
        {"dockerfile": "../Dockerfile"},
        {"dockerfile": "-"},
        {"tag": "--privileged"},
        {"tag": "docker.io/library/python:3"},
        {"tag": "a/../b"},
        {"tag": "-t"},
        {"tag": "A"},
    ],
)
def test_hostile_arguments_of_build(do: Call, arguments):
    assert not do("build", **arguments).ok
