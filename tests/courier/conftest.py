"""Real servers, a pod's folders below tmp_path, and a repository to work on."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.servers.certs import Certificates, make_certificates
from tests.servers.githttps import PASSWORD, USERNAME, GitServer, git_server
from tests.servers.nats import NatsServer, free_port, nats_binary
from tests.servers.vllm import MODEL, VLLM, vllm_server

from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.places import Places


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def nats_server_binary() -> str:
    return nats_binary()


@pytest.fixture
def git_https(tmp_path: Path, certificates: Certificates) -> Iterator[GitServer]:
    root = tmp_path / "git-server"
    root.mkdir()
    with git_server(root, certificates) as server:
        yield server


@pytest.fixture
def vllm() -> Iterator[VLLM]:
    with vllm_server() as server:
        yield server


@pytest.fixture
def nats(tmp_path: Path, nats_server_binary: str) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "jetstream", nats_server_binary, free_port())
    server.start()
    yield server
    server.stop()


DEVELOPER = ("Dev", "dev@example.com")


def git(folder: Path, *arguments: str, who: tuple[str, str] = DEVELOPER) -> str:
    """Run git as a developer would, with nobody's configuration."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{part}_NAME": who[0] for part in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{part}_EMAIL": who[1] for part in ("AUTHOR", "COMMITTER")},
    }
    argv = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


BASE_FILES = {
    "README.md": "# Project\n",
    "src/calc.py": "def add(a, b):\n    return a - b\n",
    "tests/test_calc.py": "from calc import add\n\n\ndef test_add():\n    assert add(2, 2) == 4\n",
}


@dataclass(frozen=True)
class Origin:
    """The project as its developers have it: three commits, a tag, a server."""

    server: GitServer
    work: Path
    name: str = "project.git"

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def commit(self, branch: str) -> str:
        return self.server.git(self.name, "rev-parse", f"refs/heads/{branch}")

    def has(self, branch: str) -> bool:
        return branch in self.server.git(self.name, "branch", "--format=%(refname:short)").split()

    def push_from_elsewhere(self, branch: str) -> str:
        """Let a colleague push something to a branch; return the commit."""
        write_files(self.work, {"colleague.txt": branch})
        git(self.work, "add", ".")
        git(self.work, "commit", "-qm", "colleague")
        git(self.work, "push", "-qf", "origin", f"HEAD:refs/heads/{branch}")
        return git(self.work, "rev-parse", "HEAD")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template of the project: `developer` and the bare `project.git`."""
    root = tmp_path_factory.mktemp("project")
    work, bare = root / "developer", root / "project.git"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    git(root, "init", "-q", "--bare", "-b", "main", str(bare))
    for number in range(2):
        write_files(work, {"README.md": f"# Draft {number}\n"})
        git(work, "add", ".")
        git(work, "commit", "-qm", f"draft {number}")
    git(work, "tag", "-a", "-m", "first", "v1.0")
    write_files(work, BASE_FILES)
    git(work, "add", ".")
    git(work, "commit", "-qm", "base")
    git(work, "push", "-q", str(bare), "main", "v1.0", "HEAD~1:refs/heads/old")
    return root


@pytest.fixture
def origin(tmp_path: Path, git_https: GitServer, project: Path) -> Origin:
    work, bare = tmp_path / "developer", git_https.root / "project.git"
    shutil.copytree(project / "developer", work)
    shutil.copytree(project / "project.git", bare)
    git(work, "remote", "add", "origin", str(bare))
    return Origin(git_https, work)


@pytest.fixture
def places(tmp_path: Path, certificates: Certificates) -> Places:
    """A pod's folders, with credentials and CA mounted."""
    made = Places.below(tmp_path / "pod")
    for folder in vars(made).values():
        (folder.parent if folder == made.termination_log else folder).mkdir(
            parents=True, exist_ok=True
        )
    made.termination_log.write_text("", encoding="utf-8")
    write_files(made.git_secret, {"username": USERNAME, "password": f"{PASSWORD}\n"})
    (made.git_ca / "ca.crt").write_bytes(certificates.ca.read_bytes())
    return made


MakeDocument = Callable[..., TaskDocument]


def document_of(url: str, **overrides: object) -> TaskDocument:
    """Return a task document; keyword arguments replace top-level fields."""
    fields: dict[str, object] = {
        "identity": {
            "namespace": "team-a",
            "name": "fix-add",
            "uid": "0d6f4a5e-8f4c-4a9a-9d5b-0a8a0f0e7b11",
            "runID": "1",
            "runKey": "1-abcdef12",
        },
        "role": "DEV",
        "prompt": "make add() add",
        "repo": {"url": url, "revision": "main"},
        "model": {"name": MODEL},
        "constraints": {},
        "protect": ["tests/**"],
        "output": {"mode": "Branch"},
        "artifacts": {},
        "clocks": {"runSeconds": 60, "flushSeconds": 5, "graceSeconds": 30},
    }
    return TaskDocument.model_validate({**fields, **overrides})


@pytest.fixture
def make_document(origin: Origin) -> MakeDocument:
    """Return a maker of documents for the project on the git server."""
    return partial(document_of, origin.url)


@pytest.fixture
def make_unreachable() -> MakeDocument:
    """Return a maker of documents whose repository nobody asks for."""
    return partial(document_of, "https://git.invalid/project.git")
