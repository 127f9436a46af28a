"""What to do next, and what the outcome is: pure rules over facts.

`decide` looks at what is known and returns either the next thing to find out or the
outcome. Success is computed here from facts that the courier found itself; what the
agent says can only make it worse. Why a pod was stopped is not known here: whoever
stopped it says so, and here it is `NoResult`.
"""

from dataclasses import dataclass
from enum import StrEnum

from agenttask_api.reasons import Reason
from agenttask_api.status import Phase, Verdict
from agenttask_courier.begun import Begun, what_became


class Ending(StrEnum):
    """How the agent's part ended."""

    DELIVERED = "delivered"
    GONE = "gone"
    DEADLINE = "deadline"
    STOPPED = "stopped"
    FULL = "full"
    """The workspace is as full as it may get."""


class Step(StrEnum):
    """What is to be found out next."""

    INTAKE = "intake"
    SALVAGE = "salvage"
    POLICY = "policy"
    VERIFY = "verify"
    COMPARE = "compare"
    PUSH = "push"
    REBASE = "rebase"
    KEEP = "keep"


@dataclass(frozen=True)
class Wanted:
    """What the task asks for."""

    change: bool = True
    push: bool = True
    push_on_failure: bool = False
    """Also what the checks rejected."""
    verify: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class Intake:
    """What became of the bundle."""

    changed: bool = False
    refused: str = ""
    """It breaks a rule."""
    unusable: str = ""
    """It cannot be read."""


@dataclass(frozen=True)
class Checks:
    """What the checks on the clean checkout said."""

    passed: bool
    message: str = ""
    failed_setup: str = ""
    comparable: bool = False
    """The same checks on the base might show that nothing new fails."""

    @property
    def failed(self) -> bool:
        """They have failed for good."""
        return not self.passed and not self.comparable


@dataclass(frozen=True)
class Moved:
    """The branch changed between clone and push."""

    message: str
    rebased: bool | None = None
    """Whether the change now stands on top of it; None = not yet tried."""
    kept: str | None = None
    """The branch that the judged work was pushed to instead, empty = it could not be."""


@dataclass(frozen=True)
class Fault:
    """Something of ours, or a clock, that ended judging."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Facts:
    """What is known so far; None = not yet looked at."""

    wanted: Wanted
    ending: Ending
    stop_reason: str = ""
    """The agent's claim."""
    said: str = ""
    """The agent's message."""
    has_bundle: bool = False
    intake: Intake | None = None
    salvaged: bool | None = None
    denied: str | None = None
    checks: Checks | None = None
    push_refused: str | None = None
    moved: Moved | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class Outcome:
    """How the run ended."""

    phase: Phase
    reason: Reason
    verdict: Verdict = Verdict.NONE
    message: str = ""


WORKSPACE_FULL = "the workspace was filled to 80 % of limits.workspaceSize"
FINE = frozenset({Reason.COMPLETED, Reason.NO_CHANGE})
"""Stop reasons after which the facts decide."""

AGENT_REASONS = frozenset(
    {
        Reason.MODEL_ERROR,
        Reason.MODEL_MISUNDERSTOOD,
        Reason.BUDGET_EXCEEDED,
        Reason.ITERATION_LIMIT,
        Reason.LOOP_DETECTED,
        Reason.CONTEXT_EXHAUSTED,
        Reason.TOOL_FAILED,
        Reason.POLICY_DENIED,
        Reason.SETUP_FAILED,
        Reason.DEADLINE_EXCEEDED,
        Reason.WORKSPACE_FULL,
        Reason.INTERNAL_ERROR,
    }
)
"""Reasons that an agent may give for not having finished."""


def decide(facts: Facts) -> Step | Outcome:
    """Return the next thing to find out, or the outcome."""
    if facts.fault:
        return failed(facts.fault.reason, facts.fault.message)
    if facts.ending is Ending.DELIVERED and facts.stop_reason in FINE:
        return _judge_delivery(facts)
    return _rescue(facts) or _unfinished(facts)


def failed(reason: Reason, message: str, verdict: Verdict = Verdict.NONE) -> Outcome:
    """Return a failed outcome."""
    return Outcome(Phase.FAILED, reason, verdict, message)


def push_interrupted(begun: Begun, arrived: bool | None) -> Outcome:
    """Return the outcome of a run whose push was cut off, and what is known of it."""
    return failed(Reason.PUSH_INTERRUPTED, what_became(begun, arrived))


def _judge_delivery(facts: Facts) -> Step | Outcome:
    if facts.has_bundle and facts.intake is None:
        return Step.INTAKE
    intake = facts.intake or Intake()
    if intake.refused:
        return failed(Reason.POLICY_DENIED, intake.refused, Verdict.REJECTED)
    if intake.unusable:
        return _rescue(facts) or failed(Reason.NO_RESULT, intake.unusable)
    return _judge_change(facts) if intake.changed else _judge_no_change(facts)


def _judge_no_change(facts: Facts) -> Outcome:
    if facts.wanted.change:
        return failed(
            Reason.NO_CHANGE, facts.said or "the agent changed nothing", Verdict.NO_CHANGE
        )
    return Outcome(Phase.SUCCEEDED, Reason.COMPLETED, Verdict.NO_CHANGE, facts.said)


def _judge_change(facts: Facts) -> Step | Outcome:
    if facts.wanted.read_only:
        return _rejected(Reason.POLICY_DENIED, "the task is read-only and the agent made a change")
    if facts.moved and not _is_in_vain(facts) and (next_ := _judge_moved(facts, facts.moved)):
        return next_
    if facts.denied is None:
        return Step.POLICY
    if facts.denied:
        return _rejected(Reason.POLICY_DENIED, facts.denied)
    if facts.wanted.verify and (facts.checks is None or not facts.checks.passed):
        return _judge_checks(facts, facts.checks)
    if facts.wanted.push and facts.push_refused is None:
        return Step.PUSH
    if facts.push_refused:
        return failed(Reason.PUSH_REJECTED, facts.push_refused)
    verdict = Verdict.VERIFIED if facts.wanted.verify else Verdict.UNVERIFIED
    return Outcome(Phase.SUCCEEDED, Reason.COMPLETED, verdict, facts.said)


def _judge_moved(facts: Facts, moved: Moved) -> Step | Outcome | None:
    """Return what a moved branch asks for; None while the rebased change is judged anew."""
    if moved.rebased is None:
        return Step.REBASE
    refused = bool(facts.denied) or (facts.checks is not None and facts.checks.failed)
    if moved.rebased and not refused:
        return None
    if moved.kept is None:
        return Step.KEEP
    why = "; on top of it the change does not pass any more" if refused else ""
    where = f"the work is on branch {moved.kept}" if moved.kept else "the work is in the patch"
    return failed(Reason.BASE_MOVED, f"{moved.message}{why}; {where}")


def _is_in_vain(facts: Facts) -> bool:
    """A rejected change was to be pushed and its branch has moved: it is not rebased."""
    rejected = facts.checks is not None and facts.checks.failed
    return rejected and facts.moved is not None and facts.moved.rebased is None


def _judge_checks(facts: Facts, checks: Checks | None) -> Step | Outcome:
    if checks is None:
        return Step.VERIFY
    if checks.failed_setup:
        return failed(Reason.SETUP_FAILED, f"setup step {checks.failed_setup} failed")
    if checks.comparable:
        return Step.COMPARE
    wanted, untried = facts.wanted, facts.push_refused is None and not facts.moved
    if wanted.push and wanted.push_on_failure and untried:
        return Step.PUSH
    return _rejected(Reason.VERIFICATION_FAILED, f"{checks.message}{_pushed_anyway(facts)}")


def _pushed_anyway(facts: Facts) -> str:
    if not facts.wanted.push or not facts.wanted.push_on_failure:
        return ""
    why = facts.moved.message if facts.moved else facts.push_refused
    return f"; not pushed: {why}" if why else "; pushed all the same, as output.pushOnFailure asks"


def _rescue(facts: Facts) -> Step | None:
    """Return how partial work is still to be had; None when all was tried."""
    if facts.has_bundle and facts.intake is None:
        return Step.INTAKE
    in_hand = facts.intake is not None and not (facts.intake.refused or facts.intake.unusable)
    return Step.SALVAGE if not in_hand and facts.salvaged is None else None


def _unfinished(facts: Facts) -> Outcome:
    if facts.ending is Ending.DEADLINE:
        return failed(Reason.DEADLINE_EXCEEDED, "the run's time was over before the agent was done")
    if facts.ending is Ending.FULL:
        return failed(Reason.WORKSPACE_FULL, WORKSPACE_FULL)
    if facts.ending is Ending.STOPPED or facts.stop_reason == Reason.CANCELLED:
        return failed(Reason.NO_RESULT, "the pod was stopped before the agent was done")
    if facts.ending is Ending.GONE:
        return failed(Reason.NO_RESULT, "the agent ended without a result")
    if facts.stop_reason in AGENT_REASONS:
        return failed(Reason(facts.stop_reason), facts.said)
    return failed(
        Reason.NO_RESULT, f"the agent gave an unknown stop reason {facts.stop_reason[:50]!r}"
    )


def _rejected(reason: Reason, message: str) -> Outcome:
    return failed(reason, message, Verdict.REJECTED)
