"""The evaluation set: small repositories, a task each, and tests that the agent never sees.

One YAML file a task: `prompt`, `files` (the repository), `hidden` (tests put beside them
afterwards), `solution` (files of one right answer, proof that the task can be done),
`links`, and `unchanged` where the right answer is to change nothing.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "tasks"
PYTEST_SECONDS = 120
PLAIN = (
    "import glob, importlib, inspect, sys; sys.path.insert(0, '.');"
    "tests = [f for n in sorted(glob.glob('test_*.py'))"
    " for k, f in vars(importlib.import_module(n[:-3])).items() if k.startswith('test_')];"
    "tests = [t for t in tests if not inspect.signature(t).parameters];"
    "assert tests; [t() for t in tests]"
)
"""Runs the tests of a folder that need no fixture, ten times as fast as pytest."""


@dataclass(frozen=True)
class EvalTask:
    """One task, as it lies on disk."""

    name: str
    kind: str
    prompt: str
    files: dict[str, str]
    hidden: dict[str, str]
    solution: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    unchanged: bool = False

    @property
    def has_tests(self) -> bool:
        """Whether there are tests that the agent can see."""
        return any(Path(path).name.startswith("test_") for path in self.files)

    def lay_out(self, folder: Path) -> None:
        """Write the repository, as the agent gets it."""
        write(folder, self.files)
        for name, target in self.links.items():
            (folder / name).symlink_to(target)


def load(names: tuple[str, ...] = ()) -> list[EvalTask]:
    """Return the tasks, all or those named, in the order of their names."""
    paths = sorted(FOLDER.glob("*.yaml"))
    found = [EvalTask(path.stem, **yaml.safe_load(path.read_text("utf-8"))) for path in paths]
    return [task for task in found if not names or task.name in names]


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files, replacing links that an agent may have put in their way."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        path.write_text(content, "utf-8")


def commit(folder: Path) -> None:
    """Make the folder a git repository with one commit."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=Begin")


def git(folder: Path, *argv: str) -> str:
    who = ("-c", "user.name=Eval", "-c", "user.email=eval@example.invalid")
    command = ["git", "-C", str(folder), *who, *argv]
    return subprocess.check_output(command, text=True).strip()


def passes_pytest(folder: Path, names: tuple[str, ...]) -> bool:
    """Say whether the named test files pass in the folder."""
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names]
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, timeout=PYTEST_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def passes_plainly(folder: Path) -> bool:
    """Say whether all tests of the folder that need no fixture pass."""
    argv = [sys.executable, "-B", "-c", PLAIN]
    return subprocess.run(argv, cwd=folder, capture_output=True, timeout=60).returncode == 0
