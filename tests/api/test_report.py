"""The workspace report: parts, gate, rigor and score from what was measured, and nothing else."""

import pytest

from agenttask_api.report import Gate, Timings, kind_of, make_report
from agenttask_api.status import TestCounts as Counts
from agenttask_api.verification import StepResult, Verification


def verification(passed: bool = True, tests: Counts | None = None, **steps: int) -> Verification:
    ran = tuple(
        StepResult(name=name.replace("_", "-"), exit_code=code, duration_seconds=1.5)
        for name, code in steps.items()
    )
    return Verification(passed=passed, steps=ran, tests=tests)


def test_a_change_without_checks_says_so():
    report = make_report(None, (), "c0ffee")
    assert (report.gate, report.rigor, report.score) == (Gate.WARN, "L0", None)
    assert report.reasons == ("nothing was checked: the task has no verify step",)


@pytest.mark.parametrize(
    ("found", "gate", "rigor", "score"),
    [
        (verification(look=0), Gate.WARN, "L1", 100),
        (verification(tests=Counts(passed=3), tests_=0), Gate.PASS, "L2", 100),
        (verification(tests=Counts(passed=3), unit=0, lint=0), Gate.PASS, "L3", 100),
        (verification(False, Counts(passed=1, failed=3), unit=1), Gate.BLOCK, "L2", 25),
        (verification(False, Counts(passed=4), unit=0, lint=1), Gate.BLOCK, "L3", 75),
        (verification(False, build=2), Gate.BLOCK, "L1", 0),
        (verification(False, Counts(), unit=1), Gate.BLOCK, "L2", 0),
    ],
)
def test_gate_rigor_and_score(found: Verification, gate: Gate, rigor: str, score: int):
    report = make_report(found, (), "c0ffee")
    assert (report.gate, report.rigor, report.score) == (gate, rigor, score)


def test_known_failures_and_restored_paths_are_reasons_to_look():
    found = verification(tests=Counts(passed=9, failed=1), unit=1).model_copy(
        update={"known_failures": ("k::a",), "protected_touched": ("tests/x.py",)}
    )
    report = make_report(found, (), "c0ffee")
    assert (report.gate, report.score) == (Gate.WARN, 100)
    assert report.unit
    assert report.unit.ok
    assert report.reasons == (
        "unit: exit code 1",
        "fails on the base, too: k::a",
        "protected path restored: tests/x.py",
    )


def test_setup_counts_as_build_and_times_are_summed():
    report = make_report(verification(deps_x=0, unit=0), ("deps-x",), "c", Timings(agent_seconds=7))
    assert report.build
    assert report.build.steps == ("deps-x",)
    assert report.timings == Timings(agent_seconds=7, verify_seconds=3.0)


@pytest.mark.parametrize(
    ("step", "kind"),
    [("build", "build"), ("build-image", "build"), ("lint", "static"), ("e2e-smoke", "e2e"),
     ("tests", "unit"), ("rebuild", "unit"), ("typecheck", "static")],
)  # fmt: skip
def test_a_step_s_name_says_what_it_is(step: str, kind: str):
    assert kind_of(step) == kind
