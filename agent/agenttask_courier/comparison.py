"""Whether a failed check is the change's fault: the same checks on the base commit say so.

Only where tests are told one by one (JUnit XML). The change passes if nothing fails that
did not fail on the base, and if something passes that did not pass there: checks that say
the same of both have verified nothing. Pure; docs/decisions/0051 says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agenttask_api.verification import StepResult, Verification
from agenttask_courier.journal import clean
from agenttask_courier.junit import Cases

MAX_LISTED = 50
SHOWN = 3
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Checked:
    """What the checks said of one commit."""

    verification: Verification
    failed_setup: str = ""
    """Name of the setup step that failed."""
    verify: tuple[StepResult, ...] = ()
    cases: Mapping[str, Cases] = field(default_factory=dict)
    """The tests of each verify step that reported some."""

    @property
    def failed(self) -> tuple[StepResult, ...]:
        return tuple(step for step in self.verify if step.exit_code != 0)

    def exit_of(self, name: str) -> int | None:
        return next((s.exit_code for s in self.verify if s.name == name), None)

    def passed_in(self, name: str) -> frozenset[str]:
        return self.cases[name].passed if name in self.cases else _NOTHING


def comparable(checked: Checked) -> bool:
    """Say whether the base could excuse the failures: each step ended and named its tests."""
    told = all(_is_told(checked, step) for step in checked.failed)
    return bool(checked.failed) and told and not checked.failed_setup


def compared(checked: Checked, base: Checked) -> Verification:
    """Return the verification of the candidate in the light of the base's."""
    new = [name for step in checked.failed for name in _new(checked, base, step)]
    failed = {name for step in checked.failed for name in checked.cases[step.name].failed}
    known = sorted(failed - set(new))
    if new:
        said = f"not so on the base: {_shown(new)}"
    elif not _progress(checked, base):
        said = "the same fails on the base, and nothing passes that did not pass there"
    else:
        changes = {"passed": True, "message": "", "known_failures": _listed(known)}
        return checked.verification.model_copy(update=changes)
    return checked.verification.model_copy(
        update={
            "message": f"{checked.verification.message}; {said}",
            "new_failures": _listed(new),
            "known_failures": _listed(known),
        }
    )


def _is_told(checked: Checked, step: StepResult) -> bool:
    """Say whether a failed step ended by itself and named the tests that failed."""
    cases = checked.cases.get(step.name)
    return step.exit_code is not None and cases is not None and cases.whole and bool(cases.failed)


def _new(checked: Checked, base: Checked, step: StepResult) -> list[str]:
    """Return what fails in a failed step and not on the base."""
    ours, theirs = checked.cases[step.name], base.cases.get(step.name)
    if theirs is None or not theirs.whole:
        return [f"{step.name}, which names no tests there"]
    new = sorted((ours.failed - theirs.failed) | (theirs.passed - ours.passed))
    there = base.exit_of(step.name)
    if not new and there != step.exit_code:
        return [f"{step.name}, which ends with exit code {there} there"]
    return new


def _progress(checked: Checked, base: Checked) -> bool:
    """Say whether a step or a test passes that does not pass on the base."""
    return any(
        (step.exit_code == 0 and base.exit_of(step.name) != 0)
        or checked.passed_in(step.name) - base.passed_in(step.name)
        for step in checked.verify
    )


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(_listed(names[:SHOWN])) + more


def _listed(names: list[str]) -> tuple[str, ...]:
    return tuple(clean(name).replace("\n", " ") for name in names[:MAX_LISTED])
