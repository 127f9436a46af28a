"""A person at a terminal: a repository, a rehearsed model, and the command `agenttask`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.courier.conftest import git

from agenttask_cli.processes import living

ROOT = Path(__file__).parents[2]
REPO = ROOT / "hack" / "testbed" / "repo"
URL = "https://git.example/team/hello.git"
HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'
PYTEST = {"name": "tests", "run": [sys.executable, "-m", "pytest", "-q"]}
SECONDS = 60.0


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    """Serve the rehearsals of the examples and of these tests."""
    scripts = [*(ROOT / "examples/rehearsals").glob("*.yaml")]
    scripts += Path(__file__).parent.glob("rehearsals/*.yaml")
    argv = [sys.executable, "-m", "agenttask_agent", "rehearse", *map(str, scripts), "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().rpartition(" on ")[2].strip()
        server.terminate()
        server.communicate(timeout=10)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The testbed's repository with its one commit."""
    folder = tmp_path_factory.mktemp("template") / "hello"
    subprocess.run(["cp", "-R", str(REPO), str(folder)], check=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")
    return folder


@dataclass
class Desk:
    """One user's machine: a folder to be in, a home, a place for temporary files."""

    here: Path
    checkout: Path
    remote: Path
    model_url: str
    tmp: Path
    environ: dict[str, str] = field(default_factory=dict)

    def task(self, prompt: str = HELLO, name: str = "greet", **spec: Any) -> Path:
        """Write a task and return its file."""
        given = {"prompt": prompt, "repo": {"url": URL}, "verify": [PYTEST], **spec}
        whole = {
            "apiVersion": "agenttask.dev/v1alpha1",
            "kind": "AgentTask",
            "metadata": {"name": name},
            "spec": given,
        }
        path = self.here / f"{name}.yaml"
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        return path

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start the command with its output as text."""
        return subprocess.Popen(
            [sys.executable, "-m", "agenttask_cli", *map(str, arguments)],
            cwd=self.here,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start_run(self, task: Path, *options: object) -> "subprocess.Popen[str]":
        """Start `agenttask run` with the rehearsed model."""
        return self.start("run", "-f", task, "--model-url", self.model_url,
                          "--model-name", "rehearsal", *options)  # fmt: skip

    def run(self, task: Path, *options: object) -> "Done":
        """Run a task to its end."""
        return done(self.start_run(task, *options))

    def left_behind(self) -> list[str]:
        """Return what is left of runs in the place for temporary files."""
        return [entry.name for entry in self.tmp.iterdir()]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


def done(process: "subprocess.Popen[str]") -> Done:
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Done(process.returncode, out, err)


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    """Read the command's lines up to the one with these words; fails when it ends before."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return "".join(seen)
    raise AssertionError(f"{words!r} never came: {''.join(seen)} {done(process)}")


def descendants(pid: int) -> dict[int, str]:
    """Return the living descendants of a process with their command lines."""
    tree = living()
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for child in [c for c, p in tree.items() if p == parent]:
            line = subprocess.run(
                ["ps", "-o", "args=", "-p", str(child)], capture_output=True, text=True, check=False
            )
            found[child] = line.stdout.strip()
            waiting.append(child)
    return found


def eventually(check: Callable[[], Any], what: str) -> Any:
    """Return the check's first true answer."""
    end = time.monotonic() + SECONDS
    while not (answer := check()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)
    return answer


def are_gone(pids: list[int]) -> bool:
    """Say whether none of the processes is alive."""
    alive = living()
    return not [pid for pid in pids if pid in alive]


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Press Ctrl-C: the signal goes to the terminal's foreground group."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.fixture
def desk(tmp_path: Path, template: Path, model_url: str) -> Iterator[Desk]:
    """A user whose git finds the remote at URL in a local folder."""
    here, home, remote = tmp_path / "here", tmp_path / "home", tmp_path / "remote.git"
    here.mkdir()
    home.mkdir()
    tmp = Path(f"/tmp/agt{os.getpid()}-{abs(hash(tmp_path)) % 10**8}")
    tmp.mkdir()
    git(tmp_path, "clone", "-q", "--bare", str(template), str(remote))
    checkout = tmp_path / "checkout"
    git(tmp_path, "clone", "-q", str(remote), str(checkout))
    (home / ".gitconfig").write_text(f'[url "{remote}"]\n\tinsteadOf = {URL}\n', encoding="utf-8")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LANG": "C.UTF-8",
    }
    yield Desk(here, checkout, remote, model_url, tmp, environ)
    subprocess.run(["rm", "-rf", str(tmp)], check=True)
