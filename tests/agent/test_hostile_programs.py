"""Hostile arguments for what starts programs: test runners and the container engine.

Both are real. A repository's tests are arbitrary code, and so is what a container runs;
what holds is that they answer, are audited once, and leave no process behind. A podman
takes some 50 ms to start, and a call starts several: in CI it is fed a fifth of what the
others are, in `make test-tools` all of it. The engine that only writes down what it is
told, in `test_docker_hostile.py`, always is.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.arguments import anything, fitting
from tests.agent.engine import BASE, DOCKERFILE, SETTINGS, Store, podman
from tests.agent.feeding import feed
from tests.agent.surroundings import Surroundings, surroundings

from agenttask_agent.tools import checks, docker
from agenttask_agent.tools.docker_engine import Docker
from agenttask_agent.tools.docker_sweep import remove_all
from agenttask_api.spec import EnvVar

__all__ = ["podman"]  # the fixture
ENV = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")),
}
SHARE = 1 if os.environ.get("AGENTTASK_SLOW_TESTS") else 5
LEAVE = "setsid sleep 600 > /dev/null 2>&1 < /dev/null &"
"""Leaves a process behind that has fled into a session of its own."""
PROJECT = {
    "test_leave.py": f"import os\n\n\ndef test_x():\n    os.system('{LEAVE}')\n",
    "go.mod": "module example.org/x\n\ngo 1.19\n",
    "x_test.go": "package x\nfunc TestBroken(t *testing.T) {\n",
    "package.json": f'{{"name": "x", "scripts": {{"test": "exit 3", "leave": "{LEAVE}"}}}}',
    "Cargo.toml": '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n',
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "x"\nversion = "0.1.0"\n',
    "src/lib.rs": "#[test] fn bad() { panic!() }\n",
    "Makefile": f"test:\n\t@exit 3\nleave:\n\t@{LEAVE}\nmany: test leave\n",
}
RUNNER_WORDS = {
    "*": ("x", "test", "leave", "many", "example.org/x", "./...", ".", "all", "no/such", "a-b"),
    "path": ("test_leave.py", "test_leave.py::test_x", "link", "hard", "pipe", "-x", "a::b::c"),
    "markers": ("slow", "not slow", "(a or b)", "a b", "((", "not"),
}
DOCKER_WORDS = {
    "*": ("web", "agenttask-1-abcdef01-web", BASE, "app", "app:1", "sha256:" + "a" * 64),
    "image": (BASE, "app", "--privileged", "docker.io/library/alpine", "x@sha256:1", "http://x"),
    "command": ("sh", "-c", "exit 3", "echo", "a", "--privileged", "sleep 1"),
    "context_path": (".", "deep", "link", "pipe", "missing", ".git"),
    "dockerfile": ("Dockerfile", "utils.py", "../Dockerfile", "link", "pipe", "missing"),
    "volumes": ("deep:/x", "deep:/x:ro", "/:/host", "..:/x", "link:/x", ".git:/x", "a:b:c:d"),
    "ports": ("8080:80", "0:0", "80", "127.0.0.1:1:1", "99999:1", "a:b"),
    "env keys": ("A", "PATH", "LD_PRELOAD", "a=b", ""),
    "env": ("x", "", "--privileged", "\n"),
    "name": ("web", "Web", "--rm", "a b"),
}


WEB = {"image": BASE, "command": ["sleep", "600"], "name": "web", "detach": True}


@pytest.fixture(scope="module")
def project() -> Iterator[Surroundings]:
    env = tuple(EnvVar(name=name, value=value) for name, value in ENV.items())
    with surroundings(PROJECT, env=env, seconds=10.0) as made:
        yield made


@pytest.mark.parametrize("operation", checks.OPERATIONS, ids=lambda operation: operation.key)
def test_runners(operation, project: Surroundings):
    feed(project, operation.key, fitting(operation, RUNNER_WORDS) | anything(operation))


@pytest.fixture(scope="module")
def engine(podman: Store) -> Iterator[Surroundings]:
    files = {"Dockerfile": DOCKERFILE, "hello.txt": "hello\n"}
    with surroundings(files, catalogue=docker.OPERATIONS) as made:
        folder = made.base / "tmp" / "docker"
        folder.mkdir()
        settings = replace(SETTINGS, run_seconds=2.0, exec_seconds=2.0, build_seconds=20.0)
        made.equip(docker=Docker(podman.engine, settings, folder))
        made.reap = False
        yield made


@pytest.mark.parametrize("operation", docker.OPERATIONS, ids=lambda operation: operation.key)
def test_the_engine(operation, engine: Surroundings):
    found = engine.tools.toolbox.context.docker
    assert found is not None
    engine.answer(
        "docker.run", {"image": BASE, "command": ["sleep", "600"], "name": "web", "detach": True}
    )
    feed(engine, operation.key, fitting(operation, DOCKER_WORDS) | anything(operation), SHARE)
    assert remove_all(found) == []
