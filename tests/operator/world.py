"""What a plan's actions do to the facts, without a cluster."""

from dataclasses import replace
from typing import Any

from tests.operator.builders import NOW, task_object

from agenttask_operator.actions import (
    Action,
    CreateJob,
    DeleteJob,
    DeletePod,
    PatchStatus,
    Publish,
    Requeue,
)
from agenttask_operator.clock import format_time
from agenttask_operator.facts import Facts, Publication
from agenttask_operator.observed import Task, parse_job, parse_task
from agenttask_operator.planner import plan

Object = dict[str, Any]


def merged(base: Any, patch: Any) -> Any:
    """Return the result of an RFC 7386 merge patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def with_status(task: Task, patch: Object) -> Task:
    obj = task_object(merged(task.raw_status, patch), task.generation)
    obj["spec"] = task.spec.to_api() if task.spec else {}
    return parse_task(obj)


def apply(facts: Facts, action: Action) -> Facts:
    """Return the facts after the action."""
    if isinstance(action, CreateJob):
        obj = {**action.manifest, "status": {}}
        metadata = {"uid": "new", "resourceVersion": "20", "creationTimestamp": format_time(NOW)}
        obj["metadata"] = {**obj["metadata"], **metadata}
        job = parse_job(obj)
        return replace(facts, jobs=(*facts.jobs, job), created=job.key.name)
    if isinstance(action, DeleteJob):
        pods = tuple(
            replace(p, gone=True) if p.run_key == action.job.run_key else p for p in facts.pods
        )
        return replace(facts, jobs=tuple(j for j in facts.jobs if j != action.job), pods=pods)
    if isinstance(action, DeletePod):
        gone = tuple(replace(p, gone=True) if p == action.pod else p for p in facts.pods)
        return replace(facts, pods=gone)
    if isinstance(action, PatchStatus):
        return replace(facts, task=with_status(facts.task, action.patch))
    if isinstance(action, Publish):
        known = {**facts.publications, action.terminal_id: Publication(True)}
        return replace(facts, publications=known)
    return facts


def effects(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return the actions that change something."""
    kinds = (CreateJob, DeleteJob, DeletePod, PatchStatus, Publish)
    return tuple(a for a in actions if isinstance(a, kinds))


def settle(facts: Facts, rounds: int = 12) -> tuple[Facts, tuple[Action, ...]]:
    """Plan and apply until nothing is left to do; return the end and all that was done."""
    done: tuple[Action, ...] = ()
    for _ in range(rounds):
        todo = effects(plan(facts, NOW))
        if not todo:
            return facts, done
        for action in todo:
            facts = apply(facts, action)
        done += todo
    raise AssertionError(f"no rest after {rounds} rounds: {[type(a).__name__ for a in done]}")


__all__ = ["Requeue", "apply", "effects", "merged", "settle", "with_status"]
