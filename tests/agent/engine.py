"""A container engine of the tests' own: real podman, a store of its own, one small image.

There is no registry: the image is made from Debian's static busybox. Nothing is
installed here; without podman the tests fail and say what to install.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agenttask_agent.tools.docker_engine import Engine, local_engine

WITHOUT = "AGENTTASK_WITHOUT_PODMAN"
BUSYBOX = Path("/bin/busybox")
BASE = "localhost/agenttask-base:1"
DOCKERFILE = """FROM scratch
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
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="ascii")
    shutil.copy(BUSYBOX, folder / "busybox")
    made.podman("build", "--network=none", "--tag", BASE, str(folder))


@pytest.fixture(scope="session")
def podman() -> Iterator[Store]:
    """The store of the session; every module that uses it imports this fixture."""
    with store() as made:
        yield made
