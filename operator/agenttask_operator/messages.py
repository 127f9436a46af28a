"""What NATS is told of the end of a run.

Pure. Ids are made from the run alone, so a message that is sent again after a crash
is recognised as the same one.
"""

from dataclasses import dataclass

from agenttask_api import events
from agenttask_api.reasons import Reason
from agenttask_api.result import AgentResult, Change, ResultArtifacts
from agenttask_api.status import AgentTaskStatus, ArtifactRef, OperationCounts, Phase, Usage
from agenttask_api.taskdocument import TaskIdentity
from agenttask_operator.facts import Defaults
from agenttask_operator.observed import Task
from agenttask_operator.outcome import Outcome


@dataclass(frozen=True)
class Message:
    """One message, ready to be sent."""

    subject: str
    headers: tuple[tuple[str, str], ...]
    payload: bytes


def run_identity(task: Task, status: AgentTaskStatus) -> TaskIdentity:
    """Return the identity of the run that the status speaks of."""
    run = status.run
    assert run is not None
    return TaskIdentity(
        namespace=task.key.namespace,
        name=task.key.name,
        uid=task.uid,
        run_id=run.id,
        run_key=run.key,
        run_number=run.number,
    )


@dataclass(frozen=True)
class PodName:
    """The pod that a message speaks for."""

    index: int
    uid: str


def terminal_messages(
    task: Task, status: AgentTaskStatus, outcome: Outcome | None, defaults: Defaults
) -> tuple[Message, ...]:
    """Return the one terminal event, after what the pod may have died without sending itself."""
    end = terminal_message(task, status, defaults)
    if not outcome or not outcome.pod or (outcome.digest and outcome.digest.stored):
        return (end,)
    pod = PodName(outcome.pod.index, outcome.pod.uid)
    result = result_message(task, status, pod, (), defaults)
    return (*started_message(task, status, pod, defaults), result, end)


def started_message(
    task: Task, status: AgentTaskStatus, pod: PodName, defaults: Defaults
) -> tuple[Message, ...]:
    """Return the courier's own first event; a courier that was killed may not have sent it."""
    if not status.run or not status.run.start_time:
        return ()
    identity, time = run_identity(task, status), status.run.start_time
    message_id = events.progress_id(identity, pod.index, pod.uid, 1)
    event = events.ResponseEvent(
        event_id=message_id,
        ts=time,
        trace_id=events.trace_id(task.uid),
        task_id=task.task_id,
        run_key=identity.run_key,
        kind=events.STARTED,
        step=Reason.RUNNING.value,
    )
    headers = events.headers(message_id, events.STARTED, task.task_id, defaults.cluster_id, time)
    subject = events.response_subject(events.STARTED, task.task_id)
    return (Message(subject, tuple(headers.items()), event.model_dump_json().encode()),)


def terminal_message(task: Task, status: AgentTaskStatus, defaults: Defaults) -> Message:
    """Return the run's terminal event."""
    identity = run_identity(task, status)
    kind = events.COMPLETED if status.phase is Phase.SUCCEEDED else events.FAILED
    message_id = events.terminal_id(task.uid, identity.run_key)
    time = status.run.completion_time if status.run else ""
    event = events.ResponseEvent(
        event_id=message_id,
        ts=time,
        trace_id=events.trace_id(task.uid),
        task_id=task.task_id,
        run_key=identity.run_key,
        kind=kind,
        phase=status.phase.value,
        reason=status.reason,
        message=status.message,
        verdict=status.verdict.value,
        data=_data(status),
    )
    headers = events.headers(message_id, kind, task.task_id, defaults.cluster_id, time)
    subject = events.response_subject(kind, task.task_id)
    payload = event.model_dump_json().encode()
    return Message(subject, tuple(headers.items()), payload)


def _data(status: AgentTaskStatus) -> dict[str, object]:
    told = status.to_api()
    fields = ("run", "attempts", "artifacts", "report", "operations", "usage", "duration")
    return {field: told[field] for field in fields if told.get(field)}


def result_message(
    task: Task,
    status: AgentTaskStatus,
    pod: PodName,
    refs: tuple[ArtifactRef, ...],
    defaults: Defaults,
) -> Message:
    """Return the result as far as the status knows it, under the id of the courier's own."""
    message_id = events.result_id(run_identity(task, status), pod.index, pod.uid)
    time = status.run.completion_time if status.run else ""
    result = _known_result(task, status, pod, refs, message_id)
    headers = events.headers(message_id, "result", task.task_id, defaults.cluster_id, time)
    payload = result.model_dump_json().encode()
    return Message(events.results_subject(task.task_id), tuple(headers.items()), payload)


def _known_result(
    task: Task,
    status: AgentTaskStatus,
    pod: PodName,
    refs: tuple[ArtifactRef, ...],
    message_id: str,
) -> AgentResult:
    good = status.phase is Phase.SUCCEEDED
    artifacts = status.artifacts
    change = Change(
        base_commit=artifacts.base_commit if artifacts else "",
        commit_sha=artifacts.commit_sha if artifacts else None,
        branch=artifacts.branch if artifacts else "",
        pushed=bool(artifacts and artifacts.branch),
    )
    return AgentResult(
        event_id=message_id,
        ts=status.run.completion_time if status.run else "",
        trace_id=events.trace_id(task.uid),
        task_id=task.task_id,
        run_key=status.run.key if status.run else "",
        index=pod.index,
        pod_uid=pod.uid,
        success=good,
        verdict=status.verdict.value,
        stop_reason=status.reason,
        message=status.message,
        error=None if good else status.message,
        operation_counts=status.operations or OperationCounts(),
        artifacts=ResultArtifacts(change=change, refs=refs),
        usage=status.usage or Usage(),
    )
