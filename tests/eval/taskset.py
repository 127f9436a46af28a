"""The evaluation's tasks: small repositories, a text, and tests that the agent never sees."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "tasks"
HIDDEN_SECONDS = 30.0
CALL_ALL = (
    "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, '.');"
    "names = {}; exec(compile(sys.stdin.read(), 'hidden', 'exec'), names);"
    "tests = [n for n in names if n.startswith('test_')]; assert tests;"
    "[names[n]() for n in tests]"
)


@dataclass(frozen=True)
class EvalTask:
    """One task. `solution` holds complete files that solve it: the proof that it can be."""

    name: str
    kind: str
    prompt: str
    files: dict[str, str]
    hidden: str
    solution: dict[str, str]
    expect: str = "change"
    """`nothing`: the right answer changes no file and says so."""
    untouched: tuple[str, ...] = ()
    links: dict[str, str] = field(default_factory=dict)

    def lay_out(self, folder: Path) -> None:
        """Make the repository with its one commit."""
        folder.mkdir(parents=True)
        write(folder, self.files)
        for name, target in self.links.items():
            (folder / name).symlink_to(target)
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "base")

    def hidden_failure(self, folder: Path) -> str:
        """Return the last line of what the hidden tests say, nothing when they pass."""
        argv = [sys.executable, "-c", CALL_ALL]
        try:
            done = subprocess.run(
                argv,
                cwd=folder,
                input=self.hidden,
                capture_output=True,
                text=True,
                timeout=HIDDEN_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "the hidden tests took too long"
        touched = [p for p in self.untouched if (folder / p).read_text("utf-8") != self.files[p]]
        if touched:
            return f"changed {', '.join(touched)}"
        return done.stderr.strip().rpartition("\n")[2] or "failed" if done.returncode else ""


def read_task(path: Path) -> EvalTask:
    """Return the task of one file; a key that there is not is an error."""
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    untouched = tuple(found.pop("untouched", ()))
    return EvalTask(name=path.stem, untouched=untouched, **found)


def all_tasks() -> Iterator[EvalTask]:
    """Yield the tasks by name."""
    for path in sorted(FOLDER.glob("*.yaml")):
        yield read_task(path)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def git(folder: Path, *arguments: str) -> str:
    """Run git with nobody's configuration and return what it prints."""
    who = {
        f"GIT_{a}_{b}": "eval@example.com"
        for a in ("AUTHOR", "COMMITTER")
        for b in ("NAME", "EMAIL")
    }
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **who,
    }
    argv = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()
