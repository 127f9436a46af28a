"""The tasks that `spec.contextFrom` refers to, and whether they can be used yet. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from agenttask_api.context import ContextPart
from agenttask_api.contextrecord import render_record
from agenttask_api.reasons import Reason
from agenttask_api.spec import AgentTaskSpec
from agenttask_operator import status
from agenttask_operator.admission import InvalidTask
from agenttask_operator.case import Case, sort_facts
from agenttask_operator.facts import Facts, Reference, Standing


@dataclass(frozen=True)
class Obstacle:
    """Why a task cannot be given what it refers to."""

    reason: Reason
    message: str


def referred_tasks(spec: AgentTaskSpec) -> tuple[str, ...]:
    """Return the names of the tasks that a task refers to, each once, in their order."""
    names = (entry.task_ref.name for entry in spec.context_from if entry.task_ref)
    return tuple(dict.fromkeys(names))


def wanted_tasks(facts: Facts, now: datetime) -> tuple[str, ...]:
    """Return the tasks whose records decide now: only those of a task about to start."""
    spec = facts.task.spec
    if not spec or spec.cancel or spec.suspend or not referred_tasks(spec):
        return ()
    case = sort_facts(facts, spec, now)
    over = case.story.told and status.is_final(case.story.told)
    return () if over or case.known or facts.jobs else referred_tasks(spec)


def check_references(name: str, spec: AgentTaskSpec) -> None:
    """Raise InvalidTask for a task that waits for itself."""
    if name in referred_tasks(spec):
        raise InvalidTask(f"spec.contextFrom: the task refers to itself ({name!r}): leave it out")


def find_obstacle(case: Case) -> Obstacle | None:
    """Return what is missing of the first reference that cannot be used yet."""
    return next(_obstacles(case), None)


def context_parts(case: Case) -> tuple[ContextPart, ...]:
    """Return the records as text, in the order of `spec.contextFrom`."""
    known = case.facts.references
    return tuple(
        ContextPart(f"Task {name}", render_record(found.record))
        for name in referred_tasks(case.spec)
        if (found := known.get(name)) and found.record
    )


def _obstacles(case: Case) -> Iterator[Obstacle]:
    for name in referred_tasks(case.spec):
        found = case.facts.references.get(name, Reference(Standing.UNREADABLE))
        match found.standing:
            case Standing.UNFINISHED:
                yield Obstacle(Reason.WAITING_FOR_TASK, f"task {name!r} has not finished")
            case Standing.UNREADABLE:
                words = f"whether task {name!r} left a record cannot be told: NATS is unreachable"
                yield Obstacle(Reason.WAITING_FOR_TASK, words)
            case Standing.UNKNOWN:
                words = f"spec.contextFrom: there is no task {name!r}, and no record of one"
                yield Obstacle(Reason.REFERENCE_NOT_FOUND, words)
