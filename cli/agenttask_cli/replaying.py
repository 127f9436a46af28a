"""What a finished run's messages were, from its resource and its stored artifacts. Pure."""

from dataclasses import dataclass
from typing import Any

from agenttask_api import events
from agenttask_api.status import AgentTaskStatus, ArtifactRef
from agenttask_cli.errors import BadInput
from agenttask_operator.facts import Defaults
from agenttask_operator.messages import (
    Message,
    PodName,
    result_message,
    started_message,
    terminal_message,
)
from agenttask_operator.observed import Task, parse_task
from agenttask_operator.status import is_final

Object = dict[str, Any]


@dataclass(frozen=True)
class StoredArtifact:
    """One object of a namespace's bucket."""

    key: str
    size: int
    sha256: str
    modified: str
    """When it was stored, RFC 3339."""


def finished_task(manifest: Object) -> Task:
    """Return the task; raises BadInput for one whose run has not ended."""
    task = parse_task(manifest)
    if not task.status.run or not is_final(task.status):
        raise BadInput(f"{task.key.name} has not ended: there is nothing to send again yet")
    return task


def replay_messages(
    task: Task, stored: tuple[StoredArtifact, ...], cluster_id: str
) -> tuple[Message, ...]:
    """Return the started event, the result and the terminal event, under the ids they had.

    A run whose pod left no artifact has only its terminal event: the pod's id is not known.
    """
    defaults, status = Defaults("", "", cluster_id), task.status
    end = terminal_message(task, status, defaults)
    found = _newest_pod(task, status, stored)
    if not found:
        return (end,)
    pod, artifacts = found
    bucket = events.artifact_bucket(task.key.namespace)
    refs = tuple(
        ArtifactRef(
            name=a.key.rsplit("/", 1)[-1],
            ref=f"nats://{bucket}/{a.key}",
            size=a.size,
            sha256=a.sha256,
        )
        for a in artifacts
    )
    result = result_message(task, status, pod, refs, defaults)
    return (*started_message(task, status, pod, defaults), result, end)


def _newest_pod(
    task: Task, status: AgentTaskStatus, stored: tuple[StoredArtifact, ...]
) -> tuple[PodName, tuple[StoredArtifact, ...]] | None:
    assert status.run
    prefix = f"{task.key.name}/{status.run.key}/"
    ours = sorted((a for a in stored if a.key.startswith(prefix)), key=lambda a: a.modified)
    if not ours:
        return None
    index, uid, _ = ours[-1].key.removeprefix(prefix).split("/", 2)
    mine = tuple(a for a in ours if a.key.startswith(f"{prefix}{index}/{uid}/"))
    return PodName(int(index), uid), mine
