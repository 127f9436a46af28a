"""What the cluster says of tasks, classes, Jobs and pods, cut to what we use.

Parsing is defensive: a field of the wrong shape becomes its default, since one odd
object must not stop the others. Everything here is immutable and does no I/O.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from agenttask_api import names
from agenttask_api.agentclass import DEFAULT_CLASS_ANNOTATION, AgentClassSpec
from agenttask_api.spec import AgentTaskSpec
from agenttask_api.status import AgentTaskStatus
from agenttask_operator.clock import parse_time

Object = dict[str, Any]


class Key(NamedTuple):
    """Which object of a namespace."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Task:
    """An AgentTask."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    created: datetime | None
    deleting: bool
    spec: AgentTaskSpec | None
    """None when the stored spec is not one we know."""
    spec_error: str
    status: AgentTaskStatus
    raw_status: Object = field(hash=False)
    """As stored, to know what a patch must change."""

    @property
    def task_id(self) -> str:
        """`<namespace>.<name>`."""
        return names.task_id(*self.key)


@dataclass(frozen=True)
class AgentClass:
    """An AgentClass."""

    name: str
    spec: AgentClassSpec | None
    error: str
    default: bool
    resource_version: str
    generation: int = 0
    raw_status: Object = field(default_factory=dict, hash=False, compare=False)
    uid: str = ""


@dataclass(frozen=True)
class Job:
    """A Job of ours."""

    key: Key
    uid: str
    task_uid: str
    """Of the AgentTask that owns it; empty when none does."""
    task_key: Key
    run_key: str
    resource_version: str
    created: datetime | None
    deleting: bool
    finished: str
    """Complete or Failed once it is one of them for good; else empty."""
    reason: str
    message: str
    finished_time: datetime | None
    suspended: bool = False
    """Whether it may not run (yet): somebody else, as Kueue, decides when."""
    queue: str = ""
    """Kueue's queue; empty = none."""
    resumed: datetime | None = None
    """When it was last allowed to run."""
    unrecorded: bool = False
    """Whether it was created without asking the run-once ledger, which was away."""


@dataclass(frozen=True)
class Container:
    """One container of a pod."""

    name: str
    running: bool = False
    started: datetime | None = None
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    reason: str = ""
    """Why it terminated, as the kubelet calls it: OOMKilled, Error, Completed."""
    message: str = ""
    """Its termination message."""
    finished: datetime | None = None


@dataclass(frozen=True)
class Pod:
    """A pod of ours."""

    key: Key
    uid: str
    task_uid: str
    task_key: Key
    run_key: str
    index: int
    resource_version: str
    created: datetime | None
    deletion: datetime | None
    """When its grace period ends; None while nobody has deleted it."""
    phase: str
    reason: str
    message: str
    node: str
    unschedulable: str
    """The scheduler's words while no node fits; else empty."""
    disrupted: str
    """Reason of a true DisruptionTarget condition; else empty."""
    containers: tuple[Container, ...]
    gone: bool = False
    """The object is deleted; this is the last that was seen of it."""

    def container(self, name: str) -> Container:
        """Return that container, empty when nothing is known of it."""
        return next((c for c in self.containers if c.name == name), Container(name))

    @property
    def ended(self) -> bool:
        """Whether nothing of the pod runs any more, for good."""
        return self.gone or self.phase in ("Succeeded", "Failed")


def parse_task(obj: Object, known: Task | None = None) -> Task:
    """Return the task; the parsed spec of the known version is reused while it is the same."""
    metadata = obj["metadata"]
    if known and (known.uid, known.generation) == (metadata["uid"], metadata.get("generation", 0)):
        spec, error = known.spec, known.spec_error
    else:
        spec, error = _spec(AgentTaskSpec, obj.get("spec"))
    raw = obj.get("status") or {}
    return Task(
        key=_key(metadata),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        resource_version=metadata.get("resourceVersion", ""),
        created=parse_time(metadata.get("creationTimestamp")),
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        spec_error=error,
        status=_status(raw),
        raw_status=raw,
    )


def parse_class(obj: Object) -> AgentClass:
    """Return the class."""
    metadata = obj["metadata"]
    spec, error = _spec(AgentClassSpec, obj.get("spec"))
    annotations = metadata.get("annotations") or {}
    return AgentClass(
        name=metadata["name"],
        spec=spec,
        error=error,
        default=annotations.get(DEFAULT_CLASS_ANNOTATION) == "true",
        resource_version=metadata.get("resourceVersion", ""),
        generation=metadata.get("generation", 0),
        raw_status=obj.get("status") or {},
        uid=metadata.get("uid", ""),
    )


def parse_job(obj: Object) -> Job:
    """Return the Job."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    final = _condition(status, "Complete") or _condition(status, "Failed") or {}
    labels = metadata.get("labels") or {}
    return Job(
        key=_key(metadata),
        uid=metadata["uid"],
        task_uid=_owner_uid(metadata),
        task_key=Key(metadata["namespace"], labels.get(names.LABEL_TASK, "")),
        run_key=labels.get(names.LABEL_RUN_KEY, ""),
        resource_version=metadata.get("resourceVersion", ""),
        created=parse_time(metadata.get("creationTimestamp")),
        deleting="deletionTimestamp" in metadata,
        finished=str(final.get("type", "")),
        reason=str(final.get("reason", "")),
        message=str(final.get("message", "")),
        finished_time=parse_time(final.get("lastTransitionTime")),
        suspended=(obj.get("spec") or {}).get("suspend") is True,
        queue=str(labels.get(names.LABEL_QUEUE, "")),
        resumed=parse_time(status.get("startTime")),
        unrecorded=names.UNRECORDED_ANNOTATION in (metadata.get("annotations") or {}),
    )


def parse_pod(obj: Object) -> Pod:
    """Return the pod."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    labels = metadata.get("labels") or {}
    scheduled = _condition(status, "PodScheduled", "False") or {}
    disruption = _condition(status, "DisruptionTarget") or {}
    unschedulable = scheduled.get("reason") == "Unschedulable"
    return Pod(
        key=_key(metadata),
        uid=metadata["uid"],
        task_uid=labels.get(names.LABEL_TASK_UID, ""),
        task_key=Key(metadata["namespace"], labels.get(names.LABEL_TASK, "")),
        run_key=labels.get(names.LABEL_RUN_KEY, ""),
        index=_index(metadata),
        resource_version=metadata.get("resourceVersion", ""),
        created=parse_time(metadata.get("creationTimestamp")),
        deletion=parse_time(metadata.get("deletionTimestamp")),
        phase=str(status.get("phase", "Pending")),
        reason=str(status.get("reason", "")),
        message=str(status.get("message", "")),
        node=str((obj.get("spec") or {}).get("nodeName", "")),
        unschedulable=str(scheduled.get("message") or "no reason given") if unschedulable else "",
        disrupted=str(disruption.get("reason") or "DisruptionTarget") if disruption else "",
        containers=tuple(_containers(status)),
    )


def _containers(status: Object) -> list[Container]:
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return [_container(entry) for entry in every if isinstance(entry, dict)]


def _container(entry: Object) -> Container:
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    running, waiting = state.get("running"), state.get("waiting") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    started = (running or ended or {}).get("startedAt")
    return Container(
        name=str(entry.get("name", "")),
        running=running is not None,
        started=parse_time(started),
        waiting_reason=str(waiting.get("reason", "")),
        waiting_message=str(waiting.get("message", "")),
        exit_code=ended.get("exitCode") if isinstance(ended.get("exitCode"), int) else None,
        reason=str(ended.get("reason", "")),
        message=str(ended.get("message", "")),
        finished=parse_time(ended.get("finishedAt")),
    )


def _key(metadata: Object) -> Key:
    return Key(metadata.get("namespace", ""), metadata["name"])


def _owner_uid(metadata: Object) -> str:
    owners = metadata.get("ownerReferences") or []
    return next((o.get("uid", "") for o in owners if o.get("kind") == "AgentTask"), "")


def _index(metadata: Object) -> int:
    annotations = metadata.get("annotations") or {}
    text = str(annotations.get("batch.kubernetes.io/job-completion-index", "0"))
    return int(text) if text.isdigit() else 0


def _condition(status: Object, type_: str, value: str = "True") -> Object | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == type_ and condition.get("status") == value:
            return dict(condition)
    return None


SpecModel = TypeVar("SpecModel", AgentTaskSpec, AgentClassSpec)


def _spec(model: type[SpecModel], raw: object) -> tuple[SpecModel | None, str]:
    try:
        return model.model_validate(raw), ""
    except ValidationError as error:
        return None, _first_errors(error)


def _first_errors(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:5]]
    return "; ".join(lines)


def _status(raw: Object) -> AgentTaskStatus:
    """Return what can be read of a status, also of one written by another version of us."""
    try:
        return AgentTaskStatus.model_validate(raw)
    except ValidationError:
        return AgentTaskStatus.model_validate({k: v for k, v in raw.items() if _readable(k, v)})


def _readable(key: str, value: object) -> bool:
    try:
        AgentTaskStatus.model_validate({key: value})
    except ValidationError:
        return False
    return True
