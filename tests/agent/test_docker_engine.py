"""Finding an engine: preferred, remote, or absent with a reason."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.engine import Store, podman

from agenttask_agent.tools.docker_engine import (
    Docker,
    NoEngine,
    explain,
    local_engine,
    remote_engine,
)
from agenttask_agent.tools.docker_options import build_options, run_options
from agenttask_agent.tools.docker_policy import DockerSettings

__all__ = ["podman"]  # the fixture
PODMAN = {"host": {"cgroupVersion": "v2", "cgroupControllers": ["cpu", "memory", "pids"],
                   "security": {"rootless": True}}}  # fmt: skip
DOCKER = {"ServerVersion": "28", "MemoryLimit": True, "PidsLimit": True}
FORBIDDEN = ("privileged", "cap-add", "device", "pid=", "ipc=", "uts=", "userns", "cgroupns",
             "host", "security-opt=seccomp", "mount")  # fmt: skip


@pytest.fixture
def path(tmp_path: Path):
    """Make client programs that print what they are told and nothing else."""

    def make(**programs: object) -> dict[str, str]:
        for name, answer in programs.items():
            text = answer if isinstance(answer, str) else json.dumps(answer, indent=1)
            code = 1 if isinstance(answer, str) else 0
            (tmp_path / f"{name}.out").write_text(text)
            program = tmp_path / name
            program.write_text(
                f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}.asked\n'
                f"/usr/bin/env >> {tmp_path}/{name}.env\n"
                f"/bin/cat {tmp_path}/{name}.out\nexit {code}\n"
            )
            program.chmod(0o755)
        return {"PATH": str(tmp_path), "HOME": "/h", "AWS_SECRET": "x", "http_proxy": "http://p"}

    return make


def test_podman_is_preferred(path):
    engine = local_engine(path(podman=PODMAN, docker=DOCKER))
    assert (engine.kind, engine.rootless, engine.remote) == ("podman", True, False)


def test_docker_is_taken_where_podman_is_not(path, tmp_path: Path):
    engine = local_engine(path(docker=DOCKER))
    assert engine.kind == "docker"
    environment = (tmp_path / "docker.env").read_text()
    assert "AWS_SECRET" not in environment
    assert "proxy" not in environment
    assert "DOCKER_BUILDKIT=0" in environment


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({}, "podman: not installed; docker: not installed"),
        ({"docker": "Cannot connect to the Docker daemon"}, "Cannot connect"),
        ({"docker": {"ServerVersion": "", "ServerErrors": ["no daemon"]}}, "docker: no daemon"),
        ({"docker": {"ServerVersion": ""}}, "no service behind the client"),
        ({"docker": DOCKER | {"PidsLimit": False}}, "cannot limit"),
        ({"podman": {"host": PODMAN["host"] | {"cgroupVersion": "v1"}}}, "cannot limit"),
        ({"podman": {"host": PODMAN["host"] | {"cgroupControllers": ["cpu"]}}}, "cannot limit"),
        ({"podman": "Error: cannot clone: Operation not permitted"}, "Operation not permitted"),
        ({"podman": ""}, "does not work"),
    ],
)  # fmt: skip
def test_an_engine_that_is_not_usable_is_absent_and_says_why(path, programs, reason):
    with pytest.raises(NoEngine, match=reason):
        local_engine(path(**programs))


def test_warnings_around_the_answer_do_not_matter(path, tmp_path: Path):
    environment = path(podman=PODMAN)
    answer = tmp_path / "podman.out"
    answer.write_text(f"WARN[0000] {{odd}}\n{{not json\n{answer.read_text()}\nmore\n")
    assert local_engine(environment).kind == "podman"


def test_a_remote_engine_is_asked_at_its_address(path, tmp_path: Path):
    engine = remote_engine(path(podman="no", docker=DOCKER), "tcp://engine.build.svc:2375")
    assert (engine.kind, engine.remote) == ("docker", True)
    assert "--host tcp://engine.build.svc:2375 info" in (tmp_path / "docker.asked").read_text()
    assert "--remote --url tcp://engine" in (tmp_path / "podman.asked").read_text()


@pytest.mark.parametrize("address", ["", "-x", "http://x", "tcp://", "tcp://a b", "--privileged"])
def test_an_address_that_is_none_is_refused(path, address):
    with pytest.raises(NoEngine, match="is not the address"):
        remote_engine(path(podman=PODMAN), address)


@pytest.mark.parametrize("kind", ["podman", "docker"])
@pytest.mark.parametrize("networks", [True, False])
def test_options_open_nothing(path, tmp_path: Path, kind, networks):
    engine = replace(local_engine(path(podman=PODMAN)), kind=kind)
    settings = DockerSettings("k", run_network=networks, build_network=networks)
    docker = Docker(engine, settings, tmp_path)
    run = run_options(docker, "name", {}, False)
    build = build_options(docker, "Dockerfile", None, False)
    for option in (*run, *build):
        assert not any(word in option for word in FORBIDDEN), option
    for options in (run, build):
        assert any(option.startswith("--memory=") for option in options)
        assert ("--network=none" in options) is not networks
    assert "--pids-limit=256" in run


@pytest.mark.parametrize("key", ["", "-x", "A", "a_b", "a" * 64, "a b", "../x"])
def test_a_run_key_is_a_label(key):
    with pytest.raises(ValueError, match="run's key"):
        DockerSettings(key)


def test_a_client_that_cannot_start_is_an_error_for_the_model(podman: Store, tmp_path: Path):
    from agenttask_agent.tools.refusal import ToolError

    engine = replace(podman.engine, argv=("no-such-engine",))
    with pytest.raises(ToolError, match="cannot be started"):
        Docker(engine, DockerSettings("k"), tmp_path).text(["ps"])


def test_a_failure_without_words_has_some(podman: Store, tmp_path: Path):
    docker = Docker(replace(podman.engine, argv=("false",)), DockerSettings("k"), tmp_path)
    assert explain(docker.run([], 5)) == "the engine ended with exit code 1"
