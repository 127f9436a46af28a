"""A task in every state that the operator writes, as clients of the API server see it."""

from collections.abc import Callable
from functools import cache
from typing import Any

from tests.operator.builders import (
    NOW,
    dead,
    first,
    judged,
    make_facts,
    make_job,
    make_pod,
    make_task,
    running,
    task_object,
)

from agenttask_api import names
from agenttask_operator.actions import PatchStatus
from agenttask_operator.facts import Facts
from agenttask_operator.planner import plan

Object = dict[str, Any]


def facts(**spec: Any) -> Facts:
    return make_facts(make_task(**spec))


STATES: dict[str, Callable[[], Facts | None]] = {
    "unseen": lambda: None,
    "no class": lambda: make_facts(classes={}),
    "suspended": lambda: facts(suspend=True),
    "not implemented": lambda: facts(agents={"count": 2}),
    "cloning": lambda: make_facts(jobs=(make_job(),), pods=(make_pod(),)),
    "running": lambda: make_facts(
        jobs=(make_job(),), pods=(make_pod(running(names.AGENT), phase="Running"),)
    ),
    "succeeded": lambda: make_facts(jobs=(make_job(finished="Complete"),), pods=(judged(),)),
    "rejected": lambda: make_facts(
        jobs=(make_job(finished="Failed"),),
        pods=(judged("VerificationFailed", "Failed", verdict="Rejected"),),
    ),
    "out of memory": lambda: make_facts(
        jobs=(make_job(finished="Failed"),),
        pods=(make_pod(dead(names.AGENT, 137, reason="OOMKilled"), phase="Failed"),),
    ),
    "cancelled": lambda: facts(cancel=True),
}


@cache
def task_in(state: str) -> Object:
    """Return the task as the API server would hold it."""
    found = STATES[state]()
    if found is None:
        return task_object()
    status = first(plan(found, NOW), PatchStatus).status
    return {**task_object(), "status": status.model_dump(by_alias=True, mode="json")}
