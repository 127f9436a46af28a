"""The rules, by table; and that they always come to an end."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_api.reasons import Kind, Reason, meaning
from agenttask_api.status import TERMINAL_PHASES, Phase
from agenttask_courier.decision import (
    AGENT_REASONS,
    Checks,
    Ending,
    Facts,
    Fault,
    Intake,
    Moved,
    Outcome,
    Step,
    Wanted,
    decide,
)

DELIVERED = Facts(Wanted(), Ending.DELIVERED, stop_reason="Completed", has_bundle=True)
TAKEN_IN = replace(DELIVERED, intake=Intake(changed=True))
ALLOWED = replace(TAKEN_IN, denied="")
MOVED = replace(ALLOWED, moved=Moved("x"))
ANYWAY = Wanted(verify=True, push_on_failure=True)
CHECKED = replace(ALLOWED, wanted=Wanted(verify=True), checks=Checks(passed=True))


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        pytest.param(DELIVERED, Step.INTAKE, id="a bundle is taken in first"),
        pytest.param(TAKEN_IN, Step.POLICY, id="then policy"),
        pytest.param(
            replace(ALLOWED, wanted=Wanted(verify=True)), Step.VERIFY, id="then the checks"
        ),
        pytest.param(
            replace(CHECKED, checks=Checks(passed=False, comparable=True)),
            Step.COMPARE,
            id="failed tests are compared with the base",
        ),
        pytest.param(
            replace(CHECKED, wanted=ANYWAY, checks=Checks(passed=False)),
            Step.PUSH,
            id="what was rejected is pushed where that is asked",
        ),
        pytest.param(
            replace(CHECKED, checks=Checks(False, comparable=True), moved=Moved("x", True)),
            Step.COMPARE,
            id="a rebased change is compared, too",
        ),
        pytest.param(ALLOWED, Step.PUSH, id="without checks the push"),
        pytest.param(CHECKED, Step.PUSH, id="after good checks the push"),
        pytest.param(MOVED, Step.REBASE, id="a moved branch is rebased onto"),
        pytest.param(
            replace(MOVED, moved=Moved("x", rebased=True), denied=None),
            Step.POLICY,
            id="a rebased change is judged anew",
        ),
        pytest.param(
            replace(MOVED, moved=Moved("x", rebased=True), denied="no"),
            Step.KEEP,
            id="what no longer passes is kept",
        ),
        pytest.param(
            replace(MOVED, moved=Moved("x", rebased=False)), Step.KEEP, id="a conflict is kept"
        ),
        pytest.param(Facts(Wanted(), Ending.GONE), Step.SALVAGE, id="a dead agent is salvaged"),
        pytest.param(
            Facts(Wanted(), Ending.DEADLINE, has_bundle=True),
            Step.INTAKE,
            id="a late bundle is better than salvage",
        ),
        pytest.param(
            Facts(Wanted(), Ending.DEADLINE, has_bundle=True, intake=Intake(unusable="x")),
            Step.SALVAGE,
            id="a broken late bundle is not",
        ),
    ],
)
def test_next_step(facts: Facts, step: Step):
    assert decide(facts) == step


SALVAGED = Facts(Wanted(), Ending.GONE, salvaged=True)


@pytest.mark.parametrize(
    ("facts", "phase", "reason", "verdict"),
    [
        pytest.param(
            replace(ALLOWED, push_refused=""), "Succeeded", "Completed", "Unverified", id="pushed"
        ),
        pytest.param(
            replace(CHECKED, push_refused=""), "Succeeded", "Completed", "Verified", id="verified"
        ),
        pytest.param(
            replace(CHECKED, wanted=Wanted(verify=True, push=False)),
            "Succeeded",
            "Completed",
            "Verified",
            id="no push wanted",
        ),
        pytest.param(
            replace(CHECKED, push_refused="stale"), "Failed", "PushRejected", "", id="push refused"
        ),
        pytest.param(
            replace(CHECKED, checks=Checks(passed=False)),
            "Failed",
            "VerificationFailed",
            "Rejected",
            id="checks failed",
        ),
        pytest.param(
            replace(CHECKED, wanted=ANYWAY, checks=Checks(passed=False), push_refused=""),
            "Failed",
            "VerificationFailed",
            "Rejected",
            id="rejected and pushed all the same",
        ),
        pytest.param(
            replace(CHECKED, wanted=ANYWAY, checks=Checks(passed=False), moved=Moved("x")),
            "Failed",
            "VerificationFailed",
            "Rejected",
            id="rejected and not pushed, since the branch moved",
        ),
        pytest.param(
            replace(SALVAGED, ending=Ending.FULL), "Failed", "WorkspaceFull", "", id="disk full"
        ),
        pytest.param(
            replace(CHECKED, checks=Checks(passed=False, failed_setup="deps")),
            "Failed",
            "SetupFailed",
            "",
            id="setup failed",
        ),
        pytest.param(
            replace(TAKEN_IN, denied="x"), "Failed", "PolicyDenied", "Rejected", id="denied"
        ),
        pytest.param(
            replace(TAKEN_IN, wanted=Wanted(read_only=True, change=False, push=False)),
            "Failed",
            "PolicyDenied",
            "Rejected",
            id="a read-only task made a change",
        ),
        pytest.param(
            replace(DELIVERED, intake=Intake(refused="x")),
            "Failed",
            "PolicyDenied",
            "Rejected",
            id="bundle breaks a rule",
        ),
        pytest.param(
            replace(DELIVERED, intake=Intake(unusable="x"), salvaged=False),
            "Failed",
            "NoResult",
            "",
            id="bundle is broken",
        ),
        pytest.param(
            replace(DELIVERED, intake=Intake()), "Failed", "NoChange", "NoChange", id="no change"
        ),
        pytest.param(
            replace(DELIVERED, has_bundle=False, wanted=Wanted(change=False)),
            "Succeeded",
            "Completed",
            "NoChange",
            id="no change and none wanted",
        ),
        pytest.param(SALVAGED, "Failed", "NoResult", "", id="agent gone"),
        pytest.param(
            replace(SALVAGED, ending=Ending.DEADLINE), "Failed", "DeadlineExceeded", "", id="late"
        ),
        pytest.param(
            replace(SALVAGED, ending=Ending.STOPPED), "Failed", "NoResult", "", id="pod stopped"
        ),
        pytest.param(
            replace(TAKEN_IN, stop_reason="BudgetExceeded"),
            "Failed",
            "BudgetExceeded",
            "",
            id="the agent's own reason stays",
        ),
        pytest.param(
            replace(TAKEN_IN, stop_reason="OOMKilled"),
            "Failed",
            "NoResult",
            "",
            id="a reason that an agent cannot know is not believed",
        ),
        pytest.param(
            replace(ALLOWED, fault=Fault(Reason.WORKSPACE_FULL, "x")),
            "Failed",
            "WorkspaceFull",
            "",
            id="a fault of ours ends it",
        ),
    ],
)
def test_outcome(facts: Facts, phase: str, reason: str, verdict: str):
    outcome = decide(facts)
    assert isinstance(outcome, Outcome)
    assert (outcome.phase, outcome.reason, outcome.verdict) == (phase, reason, verdict)


_WORDS = st.sampled_from(["", "because"])
_FACTS = st.builds(
    Facts,
    wanted=st.builds(Wanted, *[st.booleans()] * 5),
    ending=st.sampled_from(Ending),
    stop_reason=st.sampled_from([*Reason, "", "nonsense"]),
    said=_WORDS,
    has_bundle=st.booleans(),
)
_INTAKES = st.builds(Intake, st.booleans(), _WORDS, _WORDS)
JUDGED_AGAIN = {Step.POLICY, Step.VERIFY, Step.COMPARE, Step.PUSH}
_COMPARED = st.builds(Checks, st.booleans(), _WORDS, _WORDS)
_CHECKS = _COMPARED | st.just(Checks(passed=False, comparable=True))


@given(_FACTS, st.data())
def test_any_facts_come_to_a_terminal_outcome_in_a_few_steps(facts: Facts, data: st.DataObject):
    steps: list[Step] = []
    while isinstance(step := decide(facts), Step):
        steps.append(step)
        facts = _after(step, facts, data)
        assert len(steps) <= len(Step) + 3  # A rebased change is judged and pushed anew.
    assert all(steps.count(step) == 1 for step in set(steps) - JUDGED_AGAIN)
    assert all(steps.count(step) <= 2 for step in JUDGED_AGAIN)
    assert step.phase in TERMINAL_PHASES
    assert meaning(step.reason).kind is Kind.TERMINAL
    if step.phase is Phase.SUCCEEDED:
        assert facts.ending is Ending.DELIVERED
        assert Step.SALVAGE not in steps


@given(_FACTS, st.data())
def test_nothing_is_pushed_unchecked(facts: Facts, data: st.DataObject):
    steps: list[Step] = []
    while isinstance(step := decide(facts), Step):
        steps.append(step)
        if step is Step.PUSH:
            assert facts.denied == ""
            assert facts.wanted.push
            assert not facts.wanted.read_only
            passed = facts.checks is not None and facts.checks.passed
            assert passed or not facts.wanted.verify or facts.wanted.push_on_failure
        if step is Step.KEEP:
            assert Step.PUSH in steps
        facts = _after(step, facts, data)
    assert step.phase is not Phase.SUCCEEDED or not facts.wanted.push or steps[-1:] != [Step.KEEP]


def test_every_reason_of_an_agent_is_terminal():
    assert all(meaning(reason).kind is Kind.TERMINAL for reason in AGENT_REASONS)


def _after(step: Step, facts: Facts, data: st.DataObject) -> Facts:
    found: dict[Step, tuple[str, st.SearchStrategy[object]]] = {
        Step.INTAKE: ("intake", _INTAKES),
        Step.SALVAGE: ("salvaged", st.booleans()),
        Step.POLICY: ("denied", _WORDS),
        Step.VERIFY: ("checks", _CHECKS),
        Step.COMPARE: ("checks", _COMPARED),
        Step.PUSH: ("push_refused", _WORDS),
    }
    if step is Step.PUSH and data.draw(st.booleans()):
        return replace(facts, moved=Moved("moved", rebased=False if facts.moved else None))
    if facts.moved and step is Step.REBASE:
        moved = replace(facts.moved, rebased=data.draw(st.booleans()))
        return replace(facts, moved=moved, denied=None, checks=None)
    if facts.moved and step is Step.KEEP:
        return replace(facts, moved=replace(facts.moved, kept=data.draw(_WORDS), rebased=False))
    name, strategy = found[step]
    found_out: dict[str, Any] = {name: data.draw(strategy)}
    return replace(facts, **found_out)
