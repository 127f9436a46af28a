"""What of a run is told as spans: the whole of it, and what came before its agent.

Pure. The times of a status have whole seconds, cut off, so a run ends with its last second:
what its pod tells to the nanosecond lies within.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from agenttask_api.events import trace_id
from agenttask_api.status import Phase, Run, Usage
from agenttask_api.tracing import part_span_id, run_span_id
from agenttask_operator.clock import parse_time
from agenttask_operator.observed import Task

WAIT = "agenttask.wait"
"""From the task's creation to its Job's."""
START = "agenttask.start"
"""From the Job's creation to the agent's first sign."""


@dataclass(frozen=True)
class Part:
    """One span below the run's."""

    name: str
    span: int
    start: datetime
    end: datetime


@dataclass(frozen=True)
class RunSpans:
    """A run's own span, and those below it that the operator knows."""

    name: str
    trace: int
    span: int
    start: datetime
    end: datetime
    attributes: dict[str, str | int]
    error: str
    """Empty = it went well."""
    parts: tuple[Part, ...]


def spans_of(task: Task, now: datetime) -> RunSpans | None:
    """Return the spans of the run that the status tells; None for one that was none of this task's.

    A task whose work has run before shows an end that another task had.
    """
    run, status = task.status.run, task.status
    end = parse_time(run.completion_time) if run else None
    if not run or not end or _recalled(task, run):
        return None
    start = (task.created if run.number == 1 else None) or parse_time(run.accepted_time) or end
    good = status.phase is Phase.SUCCEEDED
    return RunSpans(
        name="agenttask.run",
        trace=int(trace_id(task.uid), 16),
        span=int(run_span_id(task.uid, run.key), 16),
        start=start,
        end=max(start, end, min(now, end + timedelta(seconds=1))),
        attributes=_attributes(task, run),
        error="" if good else status.reason,
        parts=tuple(_parts(task, run)),
    )


def _recalled(task: Task, run: Run) -> bool:
    began = parse_time(run.start_time)
    return bool(began and task.created and began < task.created)


def _parts(task: Task, run: Run) -> Iterator[Part]:
    # When a later run was asked for, nobody knows.
    created = task.created if run.number == 1 else None
    accepted, began = parse_time(run.accepted_time), parse_time(run.start_time)
    for name, since, until in ((WAIT, created, accepted), (START, accepted, began)):
        if since and until and since <= until:
            yield Part(name, int(part_span_id(task.uid, run.key, name), 16), since, until)


def _attributes(task: Task, run: Run) -> dict[str, str | int]:
    status = task.status
    usage = status.usage or Usage()
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": task.key.name,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "k8s.namespace.name": task.key.namespace,
        "agenttask.run_key": run.key,
        "agenttask.phase": status.phase.value,
        "agenttask.reason": status.reason,
        "agenttask.verdict": status.verdict.value,
    }
