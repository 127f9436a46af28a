"""Which test runners judge an edit: those that `verify` names, else those the project has. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from agenttask_agent.results import ToolResult
from agenttask_agent.small import decide
from agenttask_api.spec import Command

UNRUNNABLE = "(the tests could not be run)"
ABSENT = "not available"
"""How a runner's error begins whose toolchain is not in the image: it can judge nothing."""
PYTEST = "tests_pytest"
FAILURES = {
    PYTEST: re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE),
    "tests_go_test": re.compile(r"^\s*--- FAIL: (\S+)", re.MULTILINE),
    "tests_cargo_test": re.compile(r"^test (\S+) \.\.\. FAILED", re.MULTILINE),
}
MARKS = {"go.mod": "tests_go_test", "Cargo.toml": "tests_cargo_test"}


@dataclass(frozen=True)
class Runner:
    """One operation of the tests family and its arguments."""

    operation: str
    arguments: dict[str, object] = field(default_factory=dict)


PYTHON = Runner(PYTEST, {"path": "."})


def choose_runners(paths: Sequence[str], start: str, verify: Sequence[Command]) -> list[Runner]:
    """Return the runners for a project whose files are `paths`, worked on in folder `start`."""
    named = [runner for step in verify if (runner := _named(step.run))]
    return list({r.operation: r for r in named or _present(paths, start)}.values())


def failing(runner: Runner, result: ToolResult) -> frozenset[str]:
    """Return the names of the failed tests; numbers where the runner tells no names."""
    if result.ok or result.denied or (result.error or "").startswith(ABSENT):
        return frozenset()
    pattern = FAILURES.get(runner.operation)
    if pattern and (found := frozenset(pattern.findall(result.output))):
        return found
    counts = result.metadata.get("tests")
    failed = counts.get("failed", 0) if isinstance(counts, dict) else 0
    return frozenset(f"{runner.operation} {n}" for n in range(failed)) or frozenset({UNRUNNABLE})


def _named(command: Sequence[str]) -> Runner | None:
    """Return the runner that a verify command starts, as far as an operation does the same."""
    program = PurePosixPath(command[0]).name
    match program, *command[1:3]:
        case ("pytest", *_) | (("python" | "python3"), "-m", "pytest"):
            return PYTHON
        case ("go", "test", *_):
            return Runner("tests_go_test")
        case ("cargo", "test", *_):
            return Runner("tests_cargo_test")
        case ("npm", "test", *_):
            return Runner("tests_npm_test")
        case ("npm", "run", str(script)):
            return Runner("tests_npm_test", {"script": script})
        case ("make", str(target), *_) if not target.startswith("-"):
            return Runner("tests_make_test", {"target": target})
    return None


def _present(paths: Sequence[str], start: str) -> list[Runner]:
    tested = any(decide.is_test(p) and p.endswith(".py") for p in paths)
    found = [PYTHON] if tested else []
    folder = PurePosixPath(start)
    return found + [Runner(op) for mark, op in MARKS.items() if str(folder / mark) in paths]
