"""The tests family: runs a project's tests and counts them from the runner's report.

Tests are arbitrary code of an untrusted repository: they get an environment made
from a list, bounded time and output, and nothing of theirs outlives them. The
report lies outside the workspace; prose is never counted.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from xml.etree import ElementTree as ET

from pydantic import Field

from agenttask_agent.sanitise import plain_terminal
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.process import Finished, run_program
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.workspace import split
from agenttask_api.status import TestCounts

SECONDS = 600.0
MAX_OUTPUT = 256 * 1024
MAX_REPORT_BYTES = 16 * 1024 * 1024
NO_TESTS = 5


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
        finished = _run(context, argv)
        counts = read_counts(report)
    return _answer(finished, counts)


def read_counts(report: Path) -> TestCounts | None:
    """Return the counts of a JUnit XML report; None when there is no readable one."""
    try:
        if report.stat().st_size > MAX_REPORT_BYTES:
            return None
        suites = [s for s in ET.parse(report).getroot().iter("testsuite")]
        total, failed, errors, skipped = (
            sum(int(suite.get(name, 0)) for suite in suites)
            for name in ("tests", "failures", "errors", "skipped")
        )
    except (OSError, ET.ParseError, ValueError):
        return None
    bad = failed + errors
    return TestCounts(passed=max(0, total - bad - skipped), failed=bad, skipped=skipped)


def _run(context: ToolContext, argv: list[str]) -> Finished:
    try:
        return run_program(
            argv,
            cwd=context.workspace.root / context.start,
            env=context.env,
            timeout=context.timeout(SECONDS),
            limit=MAX_OUTPUT,
        )
    except OSError as error:
        raise ToolError(f"{argv[0]!r} cannot be started: {error.strerror}") from error


def _target(context: ToolContext, path: str) -> str:
    """Return the path for pytest, which starts in the task's folder, not in the root."""
    file, separator, test = path.partition("::")
    parts = split(file)
    if file.startswith("-") or any(ord(c) < 32 for c in path):
        raise ToolError(f"{path!r} is not a path of tests")
    start = split(context.start)
    inside = parts[: len(start)] == start
    relative = parts[len(start) :] if inside else [".."] * len(start) + parts
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


def _answer(finished: Finished, counts: TestCounts | None) -> Answer:
    metadata: dict[str, object] = {"seconds": round(finished.seconds, 2)}
    metadata |= {"tests": counts.to_api()} if counts else {}
    return Answer(
        output=_headline(counts) + plain_terminal(finished.output),
        metadata=metadata,
        exit_code=finished.exit_code,
        error=_problem(finished, counts),
        truncated=finished.truncated,
        keep_tail=True,
    )


def _headline(counts: TestCounts | None) -> str:
    if counts is None:
        return ""
    return f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped\n"


def _problem(finished: Finished, counts: TestCounts | None) -> str | None:
    if finished.exit_code is None:
        return f"ended after {finished.seconds:.0f} seconds: the tests took too long"
    if finished.exit_code == 0:
        return None
    if finished.exit_code == NO_TESTS:
        return "no tests were found"
    failed = counts.failed if counts else 0
    return f"{failed} tests failed" if failed else "the tests could not be run"


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation("tests", "pytest", Pytest, pytest, "Run Python tests and report what failed."),
)
