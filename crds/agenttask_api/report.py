"""The workspace report: what was checked, how strictly, and what came of it.

Pure, and computed from what the courier measured. It goes into the result and the
artifacts whole and, cut, into `status.report`. docs/verification.md says what each word means.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from agenttask_api.schema import OpenAPIModel
from agenttask_api.status import TestCounts
from agenttask_api.verification import StepResult, Verification

MAX_REASONS = 50
WEIGHTS = {"unit": 60, "build": 20, "static": 20, "e2e": 20}
"""What a part counts for in the score; the parts that are there share 100."""
_KINDS = {
    "build": ("build", "compile", "deps", "install"),
    "static": ("lint", "static", "type", "typecheck", "format", "fmt", "vet", "check-types"),
    "e2e": ("e2e", "integration"),
}


class Gate(StrEnum):
    """What to do with the change."""

    PASS = "Pass"
    WARN = "Warn"
    """It passed, and a person should look at the reasons."""
    BLOCK = "Block"


class Part(OpenAPIModel):
    """The steps of one kind."""

    ok: bool
    steps: tuple[str, ...] = ()
    tests: TestCounts | None = None
    """Only of `unit`: from JUnit XML of all steps."""
    coverage: float | None = None
    """Only of `unit`: percent of lines, where the project's own tool says so."""


class Timings(OpenAPIModel):
    """Seconds."""

    agent_seconds: float = 0
    """From the agent's first sign to its last."""
    judge_seconds: float = 0
    """From there to the outcome."""
    verify_seconds: float = 0
    """Of these, what setup and verify commands took on the candidate."""


class WorkspaceReport(OpenAPIModel):
    """What the checks of one candidate came to; a part without steps is None."""

    commit: str
    build: Part | None = None
    unit: Part | None = None
    static: Part | None = None
    e2e: Part | None = None
    timings: Timings = Timings()
    gate: Gate
    rigor: str
    """L0 nothing was checked, L1 commands ran, L2 tests were counted, L3 and static checks."""
    score: int | None = None
    """0 to 100; None at L0."""
    reasons: tuple[str, ...] = ()


def make_report(
    verification: Verification | None,
    setup: Iterable[str],
    commit: str,
    timings: Timings = Timings(),  # noqa: B008 - immutable
) -> WorkspaceReport:
    """Return the report; `setup` names the steps that prepare and do not judge."""
    parts = _parts(verification, frozenset(setup)) if verification else {}
    seconds = sum(s.duration_seconds for s in verification.steps) if verification else 0.0
    rigor = _rigor(parts)
    reasons = tuple(_reasons(verification, rigor))
    return WorkspaceReport(
        commit=commit,
        build=parts.get("build"),
        unit=parts.get("unit"),
        static=parts.get("static"),
        e2e=parts.get("e2e"),
        timings=timings.model_copy(update={"verify_seconds": round(seconds, 3)}),
        gate=_gate(verification, reasons),
        rigor=rigor,
        score=_score(parts, len(verification.known_failures)) if verification else None,
        reasons=reasons[:MAX_REASONS],
    )


def kind_of(step: str) -> str:
    """Return which part a verify step belongs to, by its name: its first word decides."""
    words = (step, step.split("-")[0])
    return next((kind for kind, names in _KINDS.items() if set(words) & set(names)), "unit")


def _parts(verification: Verification, setup: frozenset[str]) -> dict[str, Part]:
    grouped: dict[str, list[StepResult]] = {}
    for step in verification.steps:
        grouped.setdefault("build" if step.name in setup else kind_of(step.name), []).append(step)
    tests = verification.tests
    return {
        kind: Part(
            ok=all(s.exit_code == 0 for s in steps) or (kind == "unit" and verification.passed),
            steps=tuple(s.name for s in steps),
            tests=tests if kind == "unit" else None,
            coverage=verification.coverage if kind == "unit" else None,
        )
        for kind, steps in grouped.items()
    }


def _rigor(parts: dict[str, Part]) -> str:
    if not set(parts) - {"build"}:
        return "L1" if parts else "L0"
    unit = parts.get("unit")
    if not unit or not unit.tests:
        return "L1"
    return "L3" if "static" in parts else "L2"


def _score(parts: dict[str, Part], known: int) -> int | None:
    total = sum(WEIGHTS[kind] for kind in parts)
    if not total:
        return None
    return int(sum(WEIGHTS[k] * _share(part, known) for k, part in parts.items()) * 100 / total)


def _share(part: Part, known: int) -> float:
    """Return how much of a part is good; what fails on the base, too, is nobody's fault."""
    if not part.tests or not part.tests.passed + part.tests.failed:
        return float(part.ok)
    failed = max(0, part.tests.failed - known)
    return part.tests.passed / max(1, part.tests.passed + failed)


def _gate(verification: Verification | None, reasons: tuple[str, ...]) -> Gate:
    if verification and not verification.passed:
        return Gate.BLOCK
    return Gate.WARN if reasons else Gate.PASS


def _reasons(verification: Verification | None, rigor: str) -> Iterator[str]:
    if not verification:
        yield "nothing was checked: the task has no verify step"
        return
    for step in verification.steps:
        if step.exit_code != 0:
            yield f"{step.name}: {_step_words(step)}"
    for name in verification.new_failures:
        yield f"new failure: {name}"
    for name in verification.known_failures:
        yield f"fails on the base, too: {name}"
    for path in verification.protected_touched:
        yield f"protected path restored: {path}"
    if rigor == "L1":
        yield "no test was counted"


def _step_words(step: StepResult) -> str:
    return "timed out" if step.timed_out else f"exit code {step.exit_code}"
