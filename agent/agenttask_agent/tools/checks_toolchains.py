"""go test, npm, cargo test and make: each counted by what it writes for machines.

go: the events of `-json`. npm: the TAP that Node's own runner writes to a file, or
JUnit XML. cargo: libtest's `--logfile`, one line a test, which cargo's runner setting
adds to each test program (its JSON is unstable; documentation tests are not in it).
make: JUnit XML in $AGENTTASK_REPORTS, if any. No report, no counts.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agenttask_agent.tools import checks_run
from agenttask_agent.tools.checks_run import REPORTS, answer, bounded, cache, start, tool
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.process import Capture
from agenttask_agent.tools.refusal import ToolError
from agenttask_api.counts import TestCounts

PACKAGE = r"^[A-Za-z0-9_.][A-Za-z0-9_./@-]*$"
WORD = r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$"
TAP = re.compile(rb"(?m)^# (pass|fail|cancelled|skipped|todo) (\d{1,9})$")
LIBTEST = re.compile(rb"(?m)^(ok|failed|ignored) .")
MAX_EVENT = 1024 * 1024
WRAPPER = """#!/bin/sh
if grep -q 'Write logs to the specified file' "$1"; then
  exec "$@" --logfile "$AGENTTASK_REPORTS/$$.libtest"
fi
exec "$@"
"""
"""A test program with a harness of its own is run as it is."""


class GoTest(Params):
    """Arguments of tests.go_test."""

    package: Annotated[str, Field(pattern=PACKAGE, max_length=512)] = "./..."
    race: Annotated[bool, Field(description="With the race detector.")] = False
    coverage: Annotated[bool, Field(description="Measure it.")] = False


class GoEvents:
    """Follows the stream of `go test -json`: counts tests, keeps what they print."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.output = Capture(checks_run.MAX_OUTPUT)
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > MAX_EVENT:
            self.output.add(self._rest)
            self._rest = b""

    def counts(self) -> TestCounts | None:
        if not self.seen:
            return None
        seen = self.seen
        return TestCounts(passed=seen["pass"], failed=seen["fail"], skipped=seen["skip"])

    def _line(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            action = event["Action"]
        except (ValueError, KeyError, TypeError, RecursionError):
            self.output.add(line + b"\n")
            return
        self.output.add(str(event.get("Output", "")).encode(errors="replace"))
        if event.get("Test") and action in ("pass", "fail", "skip"):
            self.seen[action] += 1


def go_test(context: ToolContext, params: GoTest) -> Answer:
    if ".." in params.package.removesuffix("...").split("/"):
        raise ToolError(f"{params.package!r} leads out of the workspace")
    env = {name: cache(context, name) for name in ("GOCACHE", "GOPATH", "GOMODCACHE")}
    env |= {"GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOFLAGS": "-modcacherw"}
    options = ["-race"] if params.race else []
    options += ["-cover"] if params.coverage else []
    events = GoEvents()
    argv = [tool(context, "go"), "test", "-json", *options, params.package]
    finished = start(context, argv, env, events.feed)
    return answer(finished, events.counts(), events.output.content())


class NpmTest(Params):
    """Arguments of tests.npm_test."""

    script: Annotated[str, Field(pattern=WORD, max_length=100, description="Of package.json.")] = (
        "test"
    )


def npm_test(context: ToolContext, params: NpmTest) -> Answer:
    npm = tool(context, "npm")
    with _reports(context) as folder:
        tap = folder / "node.tap"
        reporters = {"spec": "stdout", "tap": str(tap)}
        both = (
            f"--test-reporter={k} --test-reporter-destination={v}" for k, v in reporters.items()
        )
        env = {
            "NODE_OPTIONS": " ".join(both),
            "npm_config_cache": cache(context, "npm"),
            "npm_config_update_notifier": "false",
            "JEST_JUNIT_OUTPUT_DIR": str(folder),
            "MOCHA_FILE": str(folder / "mocha.xml"),
            REPORTS: str(folder),
        }
        finished = start(context, [npm, "run", params.script], env)
        counts = _tap_counts(bounded(tap)) or checks_run.read_folder(folder)
    return answer(finished, counts)


class CargoTest(Params):
    """Arguments of tests.cargo_test."""

    package: Annotated[str | None, Field(pattern=WORD, max_length=100)] = None


def cargo_test(context: ToolContext, params: CargoTest) -> Answer:
    cargo = tool(context, "cargo")
    with _reports(context) as folder:
        wrapper = folder / "run-test"
        wrapper.write_text(WRAPPER, encoding="ascii")
        wrapper.chmod(0o755)
        # `cfg(all())` holds on every platform, so the host's name need not be known.
        runner = f"target.'cfg(all())'.runner={json.dumps(str(wrapper))}"
        env = {
            "CARGO_HOME": cache(context, "CARGO_HOME"),
            "CARGO_TARGET_DIR": cache(context, "cargo-target"),
            REPORTS: str(folder),
        }
        only = ["--package", params.package] if params.package else []
        argv = [cargo, "--config", runner, "test", "--no-fail-fast", "--color=never", *only]
        finished = start(context, argv, env)
        counts = checks_run.total(_libtest(bounded(p)) for p in sorted(folder.glob("*.libtest")))
    return answer(finished, counts)


class MakeTest(Params):
    """Arguments of tests.make_test."""

    target: Annotated[
        str, Field(pattern=WORD.replace(":", ""), max_length=100, description="Of the Makefile.")
    ] = "test"


def make_test(context: ToolContext, params: MakeTest) -> Answer:
    make = tool(context, "make")
    with _reports(context) as folder:
        finished = start(context, [make, "--", params.target], {REPORTS: str(folder)})
        counts = checks_run.read_folder(folder)
    return answer(finished, counts)


@contextmanager
def _reports(context: ToolContext) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=context.tmp, prefix="reports-") as folder:
        yield Path(folder)


def _tap_counts(report: bytes) -> TestCounts | None:
    """Return the totals at the end of what Node's TAP reporter wrote."""
    found: Mapping[str, int] = {name.decode(): int(n) for name, n in TAP.findall(report)}
    if "pass" not in found or "fail" not in found:
        return None
    return TestCounts(
        passed=found["pass"],
        failed=found["fail"] + found.get("cancelled", 0),
        skipped=found.get("skipped", 0) + found.get("todo", 0),
    )


def _libtest(report: bytes) -> TestCounts | None:
    seen = Counter(LIBTEST.findall(report))
    return TestCounts(passed=seen[b"ok"], failed=seen[b"failed"], skipped=seen[b"ignored"])


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation("tests", "go_test", GoTest, go_test, "Run Go tests and report what failed."),
    Operation("tests", "npm_test", NpmTest, npm_test, "Run a script of package.json."),
    Operation("tests", "cargo_test", CargoTest, cargo_test, "Run a Rust project's tests."),
    Operation("tests", "make_test", MakeTest, make_test, "Run a target of the Makefile."),
)
