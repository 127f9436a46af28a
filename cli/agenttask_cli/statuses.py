"""What a task's status says, as text: pure."""

from collections.abc import Iterator
from typing import Any

from agenttask_api.status import TERMINAL_PHASES
from agenttask_courier.journal import clean

Object = dict[str, Any]


def state_line(status: Object) -> str:
    """Return phase, verdict, reason and message on one line."""
    parts = [status.get("phase") or "Pending", status.get("verdict"), status.get("reason")]
    head = " ".join(part for part in parts if part)
    message = " ".join(clean(status.get("message") or "").split())
    return f"{head}: {message}" if message else head


def is_over(task: Object) -> bool:
    """Say whether the newest generation of the task has ended."""
    status = task.get("status", {})
    seen = status.get("observedGeneration", -1) >= task["metadata"].get("generation", 0)
    return bool(seen and status.get("phase") in TERMINAL_PHASES)


def report_lines(task: Object) -> Iterator[tuple[str, str]]:
    """Yield what the status tells, as name and text."""
    status = task.get("status", {})
    yield from _run_lines(status)
    yield from _change_lines(status.get("artifacts", {}))
    yield from _check_lines(status.get("report", {}))
    if operations := status.get("operations"):
        yield "operations", _counts(operations, ("total", "failed", "denied"))
    if usage := status.get("usage"):
        yield "tokens", f"{usage.get('totalTokens', 0)} in {usage.get('modelCalls', 0)} calls"
    for condition in status.get("conditions", []):
        yield "condition", f"{condition['type']}={condition['status']} {condition['reason']}"


def _run_lines(status: Object) -> Iterator[tuple[str, str]]:
    run = status.get("run", {})
    if run.get("id"):
        yield "run", f"{run['id']} (Job {run.get('jobName') or 'not made yet'})"
    for attempt in status.get("attempts", []):
        tokens = f"{attempt.get('tokens', 0)} tokens"
        yield "attempt", f"{attempt['podName']} {attempt.get('reason', '')} {tokens}"


def _change_lines(artifacts: Object) -> Iterator[tuple[str, str]]:
    if artifacts.get("branch"):
        yield "branch", f"{artifacts['branch']} at {artifacts.get('commitSHA', '')[:12]}"
    for path in artifacts.get("filesChanged", []):
        yield "changed", clean(path)
    if tests := artifacts.get("tests"):
        yield "tests", _counts(tests, ("passed", "failed", "skipped"))
    for ref in artifacts.get("refs", []):
        yield "artifact", f"{ref['name']} {ref['size']} bytes {ref['ref']}"


def _check_lines(report: Object) -> Iterator[tuple[str, str]]:
    if report.get("gate"):
        score = f", score {report['score']}" if "score" in report else ""
        yield "checks", f"{report['gate']} at rigor {report.get('rigor', '')}{score}"
    for reason in report.get("reasons", []):
        yield "reason", clean(reason)


def _counts(values: Object, kinds: tuple[str, ...]) -> str:
    return ", ".join(f"{values.get(kind, 0)} {kind}" for kind in kinds)
