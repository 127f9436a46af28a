"""What every test runner shares: how it is started, and how its end becomes an answer.

Tests are arbitrary code of an untrusted repository: they get an environment made
from a list, bounded time, output and memory, and nothing of theirs outlives them.
Counts come from a report that a runner wrote for machines; without one there are none.
"""

import contextlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from agenttask_agent.sanitise import plain_terminal
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.memory import Memory
from agenttask_agent.tools.operation import Answer
from agenttask_agent.tools.process import Finished, run_program
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.wholeoutput import Section
from agenttask_api.counts import TestCounts

SECONDS = 600.0
MAX_OUTPUT = 256 * 1024
MAX_REPORT_BYTES = 16 * 1024 * 1024
MAX_REPORTS = 200
REPORTS = "AGENTTASK_REPORTS"
"""Names a folder; a runner that writes JUnit XML there has its tests counted."""


@dataclass(frozen=True)
class Tested(Finished):
    """How a runner ended, and where its whole output is."""

    whole: Mapping[str, object] = field(default_factory=dict)


def start(
    context: ToolContext,
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    sink: Callable[[bytes], None] | None = None,
) -> Tested:
    """Run a test runner to its end; the task's own variables win over `env`."""
    with _kept(context, argv) as section:

        def feed(chunk: bytes) -> None:
            section.feed(chunk)
            if sink:
                sink(chunk)

        try:
            finished = run_program(
                [*argv],
                cwd=context.workspace.root / context.start,
                env={**(env or {}), **context.env},
                timeout=context.timeout(SECONDS),
                limit=MAX_OUTPUT,
                sink=feed,
                memory=Memory(),
            )
        except OSError as error:
            raise ToolError(f"{argv[0]!r} cannot be started: {error.strerror}") from error
    return Tested(**vars(finished), whole=section.facts())


def _kept(context: ToolContext, argv: Sequence[str]) -> AbstractContextManager[Section]:
    if context.whole_output is None:
        return contextlib.nullcontext(Section(""))
    return context.whole_output.section(shlex.join(argv))


def tool(context: ToolContext, name: str) -> str:
    """Return the path of a toolchain's program; raises ToolError where it is absent."""
    found = shutil.which(name, path=context.env.get("PATH"))
    if found is None:
        raise ToolError(f"not available: {name} is not installed in this image")
    return found


def cache(context: ToolContext, name: str) -> str:
    """Return a folder outside the workspace that one run's calls share."""
    folder = context.tmp / "caches" / name
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def read_counts(report: Path) -> TestCounts | None:
    """Return the counts of a JUnit XML report; None when there is no readable one."""
    from xml.etree import ElementTree as ET  # Here: only a report needs it.

    content = bounded(report)
    try:
        suites = list(ET.fromstring(content).iter("testsuite")) if content else None
        if suites is None:
            return None
        total, failed, errors, skipped = (
            sum(int(suite.get(name) or 0) for suite in suites)
            for name in ("tests", "failures", "errors", "skipped")
        )
    except (ET.ParseError, ValueError):
        return None
    bad = failed + errors
    return TestCounts(passed=max(0, total - bad - skipped), failed=bad, skipped=skipped)


def read_folder(folder: Path) -> TestCounts | None:
    """Return the sum of all JUnit XML reports in a folder."""
    return total(read_counts(path) for path in sorted(folder.glob("**/*.xml"))[:MAX_REPORTS])


def total(counts: Iterable[TestCounts | None]) -> TestCounts | None:
    """Return the sum of what was counted; None when nothing was."""
    known = [each for each in counts if each]
    if not known:
        return None
    return TestCounts(
        passed=sum(each.passed for each in known),
        failed=sum(each.failed for each in known),
        skipped=sum(each.skipped for each in known),
    )


def bounded(report: Path) -> bytes:
    """Return a regular file's content if it is not too large; tests may put anything there."""
    with contextlib.suppress(OSError):
        file = os.open(report, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as opened:
            content = opened.read(MAX_REPORT_BYTES + 1)
            return content if len(content) <= MAX_REPORT_BYTES else b""
    return b""


def answer(
    finished: Tested, counts: TestCounts | None, output: bytes | None = None, problem: str = ""
) -> Answer:
    """Return the runner's end as an answer; `problem` explains a failure that it knows."""
    metadata: dict[str, object] = {"seconds": round(finished.seconds, 2)}
    metadata |= {"tests": counts.to_api()} if counts else {}
    metadata |= {"output": dict(finished.whole)} if finished.whole.get("artifact") else {}
    shown = finished.output if output is None else output
    return Answer(
        output=_headline(counts) + plain_terminal(shown),
        metadata=metadata,
        exit_code=finished.exit_code,
        error=_problem(finished, counts, problem),
        truncated=finished.truncated,
        keep_tail=True,
    )


def _headline(counts: TestCounts | None) -> str:
    if counts is None:
        return ""
    return f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped\n"


def _problem(finished: Finished, counts: TestCounts | None, problem: str) -> str | None:
    if finished.hungry:
        return "ended: the tests came near the limit of memory or of processes"
    if finished.exit_code is None:
        return f"ended after {finished.seconds:.0f} seconds: the tests took too long"
    if finished.exit_code == 0 or problem:
        return problem or None
    failed = counts.failed if counts else 0
    return f"{failed} tests failed" if failed else "the tests could not be run"
