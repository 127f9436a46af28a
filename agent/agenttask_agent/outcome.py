"""How a run ends, and the report about it.

A run ends for exactly one reason of the closed set. `Completed` means that the
model said it was done, never that the work is good: that is for the courier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agenttask_api.reasons import Reason
from agenttask_api.result import (
    MAX_REPORT_BYTES,
    AgentReport,
    AgentTests,
    ModelUse,
    Operation,
    Plan,
    Requirement,
    Thought,
)
from agenttask_api.status import Usage

KEEP_BYTES = MAX_REPORT_BYTES - 64 * 1024


@dataclass(frozen=True)
class Outcome:
    """Why the loop ended; `summary` is the model's own."""

    reason: Reason
    message: str = ""
    summary: str = ""
    plan: Plan | None = None
    """In Plan mode, what was set out to be done."""
    claims: Mapping[int, str] = field(default_factory=dict)
    """What the model says of the requirements, by their numbers from 1."""


class Stop(Exception):
    """Ends the run for a reason, wherever it is raised below the loop."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.outcome = Outcome(reason, message)


class ContextOverflow(Stop):
    """The conversation is longer than the model can read; a shorter one may not be."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CONTEXT_EXHAUSTED, message)


class ModelFailed(Stop):
    """The model gave no usable answer within its retries."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.MODEL_ERROR, message)


class ModelRefused(ModelFailed):
    """The server refused the request itself with `status`; asking again cannot help."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Records:
    """What the run wrote down while it went on."""

    operations: Sequence[Operation] = ()
    thoughts: Sequence[Thought] = ()
    audit: Sequence[dict[str, object]] = ()
    usage: Usage = Usage()
    model: ModelUse | None = None
    requirements: Sequence[str] = ()
    tests: AgentTests = AgentTests()


def build_report(outcome: Outcome, records: Records, commit: str | None) -> AgentReport:
    """Return the report, cut visibly until it fits the door's limit."""
    for keep in (None, 1000, 200, 20):
        report = _report(outcome, records, commit, keep)
        if len(report.model_dump_json(by_alias=True).encode()) <= KEEP_BYTES:
            return report
    bare = replace(records, operations=(), thoughts=(), audit=())
    return _report(outcome, bare, commit, None)


def _report(
    outcome: Outcome, records: Records, commit: str | None, keep: int | None
) -> AgentReport:
    cut = "" if keep is None else f" (report cut to the last {keep} entries of each list)"
    start = 0 if keep is None else -keep
    return AgentReport(
        stop_reason=outcome.reason,
        message=outcome.message + cut,
        summary=outcome.summary,
        plan=outcome.plan,
        requirements=_claimed(records.requirements, outcome.claims),
        tests=records.tests,
        commit_sha=commit,
        operations=tuple(records.operations[start:]),
        reasoning_log=tuple(records.thoughts[start:]),
        audit_trail=tuple(records.audit[start:]),
        usage=records.usage,
        model=records.model,
    )


def _claimed(texts: Sequence[str], claims: Mapping[int, str]) -> tuple[Requirement, ...]:
    """Return the requirements; what the model did not speak of stays unknown."""
    return tuple(
        Requirement(text=text, claim=claims.get(number, "unknown"))
        for number, text in enumerate(texts, 1)
    )
