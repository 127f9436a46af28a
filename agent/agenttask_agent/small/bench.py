"""The workspace as the small profile uses it: read, changed, tested, put back.

Every step is an operation of the toolbox, so policy, audit and redaction hold, and the
budget counts it. The task's own examples are tests too, in a file that is there while
the run works and never when it ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from agenttask_agent.results import ToolResult
from agenttask_agent.small import decide, pysource, runners
from agenttask_agent.small.decide import Score
from agenttask_agent.small.runners import PYTHON, Runner
from agenttask_agent.small.words import Words
from agenttask_agent.workers import Job

EXAMPLES = "test_agenttask_examples.py"
MAX_FAILURE = 1200
MAX_FILES = 200
MAX_READ = 12
CODE = (".py", ".js", ".ts", ".go", ".rs", ".sh", ".toml", ".json", ".yaml", ".yml", ".cfg")
TEXT = (".md", ".rst", ".txt", ".ini", ".html", ".css", ".sql")


@dataclass(frozen=True)
class Checked:
    """One run of the visible tests and the examples."""

    failing: frozenset[str] = frozenset()
    examples: int = 0
    output: str = ""


@dataclass
class Bench:
    """The files of one run; `now` is what they hold, `base` what they held."""

    job: Job
    words: Words
    base: dict[str, str | None] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    """Names that the task asks for and that no file defined at the start."""
    before: Checked = field(default_factory=Checked)
    runners: list[Runner] = field(default_factory=list)
    examples_in: str = ""
    """Where the file of examples is; empty = there is none."""

    def call(self, operation: str, **arguments: object) -> ToolResult:
        """Execute one operation within the budget and note how it went."""
        budget, recorder = self.job.budget, self.job.recorder
        budget.before_operation()
        result = self.job.toolbox.call(operation, arguments)
        state = "succeeded" if result.ok else "was denied" if result.denied else "failed"
        recorder.thought(budget.replies, "action", f"{operation} {state}", (result.seq,))
        return result

    def list_paths(self) -> list[str]:
        """Return the text files of the repository, code first, tests last."""
        listed = self.call("files_list_files", path=".", recursive=True)
        lines = listed.output.splitlines()
        document = self.job.document
        self.runners = runners.choose_runners(lines, document.repo.path, document.verify)
        paths = [p for p in lines if p.endswith(CODE + TEXT)]
        order = sorted(paths, key=lambda p: (decide.is_test(p), not p.endswith(CODE), p))
        return order[:MAX_FILES]

    def read(self, path: str) -> bool:
        """Take a file in; False when it is no text that may be read."""
        if path in self.now:
            return True
        result = self.call("files_read_file", path=path)
        if result.ok and not result.truncated:
            self.base[path] = self.now[path] = result.output
        return path in self.now

    def take_in(self, paths: Sequence[str]) -> None:
        """Read source files, as many as a small run can afford."""
        for path in [p for p in paths if p.endswith(".py") and not decide.is_test(p)][:MAX_READ]:
            self.read(path)

    def write(self, path: str, text: str) -> bool:
        """Put a content in place; False when the toolbox refuses it."""
        self.base.setdefault(path, None)
        if self.call("files_write_file", path=path, content=text).ok:
            self.now[path] = text
            return True
        return False

    def put_back(self, path: str, text: str | None) -> None:
        """Give a file its earlier content, or remove it."""
        if text is None:
            self.call("files_delete_file", path=path)
            self.now.pop(path, None)
        else:
            self.write(path, text)

    def changed(self) -> list[str]:
        """Return the files that differ from the start."""
        return [path for path, text in self.now.items() if self.base.get(path) != text]

    def place_examples(self, targets: Sequence[str]) -> None:
        """Write the task's examples as tests that stay while the run works."""
        modules = [m for m in map(self._module, targets) if m]
        if not (self.words.examples and modules):
            return
        path = str(PurePosixPath(self.job.document.repo.path or ".") / EXAMPLES)
        content = examples_file(self.words.examples, modules)
        if self.call("files_write_file", path=path, content=content).ok:
            self.examples_in = path

    def clear_examples(self) -> None:
        """Remove the examples; not counted, so that it also happens when the budget is spent."""
        if self.examples_in:
            self.job.toolbox.call("files_delete_file", {"path": self.examples_in})
            self.examples_in = ""

    def check(self) -> Checked:
        """Run the visible tests and the examples."""
        needed = [PYTHON] if self.examples_in and PYTHON not in self.runners else []
        found: set[str] = set()
        outputs = []
        for runner in [*self.runners, *needed]:
            result = self.call(runner.operation, **runner.arguments)
            names = runners.failing(runner, result)
            found |= names
            outputs += [_failure(result.output)] if names else []
        examples = {name for name in found if EXAMPLES in name}
        return Checked(frozenset(found - examples), len(examples), "\n".join(outputs))

    def score(self, checked: Checked) -> Score:
        """Return what the checks say of the files as they are now."""
        defined = {
            name.rpartition(".")[2]
            for path, text in self.now.items()
            if path.endswith(".py")
            for name in (s.name for s in pysource.symbols_of(text) or ())
        }
        return Score(
            broken=len(checked.failing - self.before.failing),
            examples=checked.examples,
            missing=sum(name not in defined for name in self.new),
            failing=len(checked.failing),
        )

    def _module(self, path: str) -> str:
        start = self.job.document.repo.path
        inside = path.removeprefix(f"{start}/") if start else path
        inside = inside.removeprefix("src/").removesuffix("/__init__.py")
        parts = inside.removesuffix(".py").split("/")
        return ".".join(parts) if path.endswith(".py") and all(map(str.isidentifier, parts)) else ""


def examples_file(examples: Sequence[tuple[str, str]], modules: Sequence[str]) -> str:
    """Return a test module with one test for each example."""
    lines = ["import importlib", "", "import pytest", "", "", "def _find(name):"]
    lines += [f"    for module in {list(modules)!r}:"]
    lines += ["        found = getattr(importlib.import_module(module), name, None)"]
    lines += ["        if found is not None:", "            return found"]
    lines += ['    raise AssertionError(f"{name} is defined nowhere")']
    for number, (name, assertion) in enumerate(examples):
        lines += ["", "", f"def test_{number}():", f"    {name} = _find({name!r})"]
        lines += [f"    {assertion}"]
    return "\n".join(lines) + "\n"


def others_text(files: Mapping[str, str], without: str, limit: int) -> str:
    """Return other files of the project for a prompt, as many as fit."""
    shown = ""
    for path, text in files.items():
        block = f"File {path}:\n```\n{text.rstrip()}\n```\n"
        if path != without and len(shown) + len(block) <= limit:
            shown += block
    return shown.strip()


def _failure(output: str) -> str:
    """Return the assertion lines of pytest's failures, else the end: what a model can use."""
    lines = [line for line in output.splitlines() if line.startswith(("E  ", ">", "FAILED"))]
    return "\n".join(lines)[-MAX_FAILURE:] or output[-MAX_FAILURE:]
