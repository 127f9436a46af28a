"""The tests family: pytest, and the other toolchains' runners beside it.

The report lies outside the workspace; prose is never counted.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agenttask_agent.tools import checks_toolchains
from agenttask_agent.tools.checks_run import answer, read_counts, start
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.workspace import split

NO_TESTS = {5: "no tests were found"}


class Pytest(Params):
    """Arguments of tests.pytest."""

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            description="Folder, file or test id (file.py::test), relative to the root.",
        ),
    ] = "."
    markers: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9_(][A-Za-z0-9_() ]*$", max_length=200, description="As -m."),
    ] = None
    coverage: Annotated[bool, Field(description="Measure it; needs pytest-cov.")] = False


def pytest(context: ToolContext, params: Pytest) -> Answer:
    target = _target(context, params.path)
    with tempfile.TemporaryDirectory(dir=context.tmp, prefix="pytest-") as folder:
        report = Path(folder) / "junit.xml"
        argv = [*_runner(context.env), *_options(params, report), target]
        finished = start(context, argv)
        counts = read_counts(report)
    return answer(finished, counts, problem=NO_TESTS.get(finished.exit_code or 0, ""))


def _target(context: ToolContext, path: str) -> str:
    """Return the path for pytest, which starts in the task's folder, not in the root."""
    file, separator, test = path.partition("::")
    parts = split(file)
    if file.startswith("-") or any(ord(c) < 32 for c in path):
        raise ToolError(f"{path!r} is not a path of tests")
    base = split(context.start)
    inside = parts[: len(base)] == base
    relative = parts[len(base) :] if inside else [".."] * len(base) + parts
    if parts and not _exists(context, "/".join(parts)):
        raise ToolError(f"{file!r} does not exist")
    return "./" + "/".join(relative) + separator + test


def _exists(context: ToolContext, path: str) -> bool:
    with context.workspace.place(path) as place:
        return context.workspace.state(place) is not None


def _runner(env: Mapping[str, str]) -> list[str]:
    """Return `python -m pytest`: unlike the bare command it can import the project itself."""
    python = shutil.which("python3", path=env.get("PATH"))
    return [python or "python3", "-m", "pytest"]


def _options(params: Pytest, report: Path) -> list[str]:
    options = ["-p", "no:cacheprovider", "--color=no", "-q", f"--junitxml={report}"]
    options += [f"-m={params.markers}"] if params.markers else []
    options += ["--cov", "--cov-report=term"] if params.coverage else []
    return options


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation("tests", "pytest", Pytest, pytest, "Run Python tests and report what failed."),
    *checks_toolchains.OPERATIONS,
)
