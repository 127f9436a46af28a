"""A container engine of the tests' own: real podman, a store of its own, one small image.

There is no registry: the image is made from Debian's static busybox. Nothing is
installed here; without podman the tests fail and say what to install.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.toolboxes import Tools

from agenttask_agent.results import ToolResult
from agenttask_agent.tools import docker
from agenttask_agent.tools.docker_engine import Docker, Engine, local_engine
from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.docker_sweep import remove_all

WITHOUT = "AGENTTASK_WITHOUT_PODMAN"
BUSYBOX = Path("/bin/busybox")
BASE = "localhost/agenttask-base:1"
BASE_DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
CMD ["sh"]
"""


@dataclass(frozen=True)
class Store:
    """The engine, and podman as a person at the same store would use it."""

    engine: Engine

    def podman(self, *arguments: str, check: bool = True, stdin: bytes = b"") -> str:
        done = subprocess.run(
            [*self.engine.argv, *arguments],
            input=stdin,
            capture_output=True,
            env=dict(self.engine.env),
            cwd="/",
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"podman {arguments}: {done.stderr.decode()}")
        return done.stdout.decode().strip()

    def person_runs(self, *options: str) -> str:
        """Start a container that has nothing to do with any run; return its id."""
        limits = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--network=none")
        options = ("--stop-timeout=1", *options)
        return self.podman("run", "--detach", *limits, *options, BASE, "sleep", "600")


def require_podman() -> None:
    """Fail with what to install; skip only where that was asked for."""
    missing = [p for p in ("podman", "conmon") if not shutil.which(p)]
    missing += [] if BUSYBOX.exists() else ["busybox-static"]
    if missing and os.environ.get(WITHOUT) == "1":
        pytest.skip(f"{WITHOUT}=1")
    if missing:
        pytest.fail(
            f"missing: {', '.join(missing)}; install podman and busybox-static"
            f" (hack/prerequisites does), or set {WITHOUT}=1 to leave these tests out",
            pytrace=False,
        )


@contextmanager
def store() -> Iterator[Store]:
    """A store below /tmp that is gone afterwards, with everything that ran in it."""
    require_podman()
    with tempfile.TemporaryDirectory(prefix="podman-", ignore_cleanup_errors=True) as name:
        folders = {"--root": "store", "--runroot": "run", "--tmpdir": "tmp"}
        options = [part for o, folder in folders.items() for part in (o, f"{name}/{folder}")]
        made = Store(local_engine({**os.environ, "TMPDIR": name}, options))
        try:
            make_base(made, Path(name, "base"))
            yield made
        finally:
            made.podman("rm", "--force", "--all", "--time=0", check=False)
            made.podman("system", "reset", "--force", check=False)


def make_base(made: Store, folder: Path) -> None:
    folder.mkdir()
    (folder / "Dockerfile").write_text(BASE_DOCKERFILE, encoding="ascii")
    shutil.copy(BUSYBOX, folder / "busybox")
    made.podman("build", "--network=none", "--pull=never", "--tag", BASE, str(folder))


@contextmanager
def service(store: Store, host: str, folder: Path) -> Iterator[str]:
    """Serve the store's engine as a platform would; yields the address for a class."""
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    command = [*store.engine.argv, "system", "service", "--time=0", f"tcp://{host}:{port}"]
    with (folder / "service.log").open("wb") as log:
        env = dict(store.engine.env)
        process = subprocess.Popen(command, env=env, cwd="/", stdout=log, stderr=log)
    try:
        assert wait_for(lambda: answers(host, port)), (folder / "service.log").read_text()
        yield f"tcp://{host}:{port}"
    finally:
        process.terminate()
        process.wait()


def answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def podman() -> Iterator[Store]:
    """The store of the session; every module that uses it imports this fixture."""
    with store() as made:
        yield made


KEY = "1-abcdef01"
SETTINGS = DockerSettings(KEY, images=("localhost/agenttask-base",), memory_mib=64, processes=32)
DOCKERFILE = f"FROM {BASE}\nCOPY hello.txt /hello.txt\n"
FILES = {"Dockerfile": DOCKERFILE, "hello.txt": "hello\n", "data/in.txt": "in\n"}
SLEEP = ["sleep", "600"]
Call = Callable[..., ToolResult]


@pytest.fixture
def make_docker(podman: Store, make_tools: MakeTools, tmp_path: Path):
    """A toolbox with docker operations; what it started is removed when the test ends."""
    made: list[Docker] = []

    def make(files: dict[str, str] | None = None, **changes: Any) -> Tools:
        tools = make_tools(FILES | (files or {}), role=None, catalogue=docker.OPERATIONS)
        folder = tmp_path / "docker"
        folder.mkdir()
        remote = changes.pop("remote", False)
        engine = replace(podman.engine, remote=remote)
        made.append(Docker(engine, replace(SETTINGS, **changes), folder))
        tools.toolbox.context = replace(tools.toolbox.context, docker=made[-1])
        return tools

    yield make
    assert [problem for made_one in made for problem in remove_all(made_one)] == []


@pytest.fixture
def do(make_docker) -> Call:
    tools = make_docker()
    return lambda operation, **arguments: tools(f"docker.{operation}", **arguments)


def ok(result: ToolResult) -> ToolResult:
    assert result.ok, f"{result.error}\n{result.output}"
    return result


def wait_for(condition: Callable[[], bool]) -> bool:
    for _ in range(50):
        if condition():
            return True
        time.sleep(0.1)
    return False
