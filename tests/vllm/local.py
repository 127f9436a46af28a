"""`agenttask run` on the demo's repository, against a real model."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.eval.taskset import git
from tests.vllm.conftest import Served

REPOSITORY = Path(__file__).parents[2] / "hack" / "testbed" / "repo"
PROMPT = 'Add hello_world() to utils.py. It returns "Hello, World!".'
VERIFY = {"name": "tests", "run": ["python3", "-m", "pytest", "-q"]}
RUN_SECONDS = 300
HELLO = "from utils import hello_world; assert hello_world() == 'Hello, World!'"


@dataclass(frozen=True)
class Ran:
    """How a run went."""

    code: int
    result: dict[str, Any]
    log: str


def lay_out(folder: Path) -> Path:
    """Return a fresh repository with one commit."""
    repo = folder / "repo"
    shutil.copytree(REPOSITORY, repo)
    git(repo, "init", "-q", "-b", "main")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "base")
    return repo


def run_here(served: Served, folder: Path, profile: str, **spec: Any) -> Ran:
    """Run one task on this machine and return how it went."""
    repo = lay_out(folder)
    _write(folder / "task.yaml", task_file(spec))
    _write(folder / "class.yaml", class_file(served, profile))
    argv = [sys.executable, "-m", "agenttask_cli", "run", "-f", folder / "task.yaml", "--workspace"]
    argv += [repo, "--class", folder / "class.yaml", "--output", folder / "out", "--json"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        list(map(str, argv)),
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS + 300,
        check=False,
    )
    assert done.stdout, done.stderr
    return Ran(done.returncode, json.loads(done.stdout), done.stderr)


def task_file(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the reference task."""
    limits = {"activeDeadlineSeconds": RUN_SECONDS}
    given = {"prompt": PROMPT, "verify": [VERIFY], "limits": limits, **spec}
    return {
        "apiVersion": "agenttask.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": "hello"},
        "spec": given | {"repo": {"url": "https://git.example/hello.git"}},
    }


def class_file(served: Served, profile: str) -> dict[str, Any]:
    """Return a class with the model at its server."""
    model = {"endpoint": served.url, "name": served.model, "profile": profile}
    return {
        "apiVersion": "agenttask.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": "local"},
        "spec": {"model": model},
    }


def says_hello(repo: Path, commit: str) -> bool:
    """Say whether the function is in the commit and returns what was asked for."""
    git(repo, "checkout", "-q", commit)
    argv = [sys.executable, "-B", "-c", HELLO]
    return subprocess.run(argv, cwd=repo, capture_output=True, check=False).returncode == 0


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
