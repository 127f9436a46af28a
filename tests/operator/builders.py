"""Builders of what the operator sees: one line per object in a test."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from agenttask_api import names
from agenttask_api.digest import Digest, write_digest
from agenttask_api.reasons import Reason
from agenttask_api.schema import API_VERSION
from agenttask_operator.clock import format_time
from agenttask_operator.facts import Defaults, Facts
from agenttask_operator.observed import (
    AgentClass,
    Job,
    Pod,
    Task,
    parse_class,
    parse_job,
    parse_pod,
    parse_task,
)

Object = dict[str, Any]
A = TypeVar("A")

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
UID = "6a5c1f2e-0000-4000-8000-000000000001"
DEFAULTS = Defaults("agent:dev")
WITH_NATS = Defaults("agent:dev", "nats://nats.example:4222")


def first(actions: Iterable[object], kind: type[A]) -> A:
    """Return the first action of that kind."""
    return next(a for a in actions if isinstance(a, kind))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def task_object(status: Object | None = None, generation: int = 1, **spec: Any) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentTask",
        "metadata": {
            "name": "fix",
            "namespace": "team",
            "uid": UID,
            "generation": generation,
            "resourceVersion": "10",
            "creationTimestamp": format_time(ago(60)),
        },
        "spec": {"prompt": "fix it", "repo": {"url": "https://git.example/x.git"}, **spec},
        "status": status or {"observedGeneration": -1, "phase": "Pending"},
    }


def make_task(status: Object | None = None, generation: int = 1, **spec: Any) -> Task:
    return parse_task(task_object(status, generation, **spec))


def run_key(**spec: Any) -> str:
    found = make_task(**spec).spec
    assert found
    return found.run_key()


def class_object(name: str = "standard", default: bool = True, **spec: Any) -> Object:
    annotations = {"agenttask.dev/is-default-class": "true"} if default else {}
    return {
        "metadata": {"name": name, "annotations": annotations, "resourceVersion": "1"},
        "spec": {"model": {"endpoint": "http://vllm.example"}, **spec},
    }


def make_class(name: str = "standard", default: bool = True, **spec: Any) -> AgentClass:
    return parse_class(class_object(name, default, **spec))


def job_object(key: str = "", created: float = 30, finished: str = "", reason: str = "") -> Object:
    key = key or run_key()
    conditions = [{"type": finished, "status": "True", "reason": reason, "message": ""}]
    return {
        "metadata": {
            "name": names.job_name("fix", UID, key),
            "namespace": "team",
            "uid": f"job-{key}",
            "resourceVersion": "11",
            "creationTimestamp": format_time(ago(created)),
            "labels": {names.LABEL_TASK: "fix", names.LABEL_RUN_KEY: key},
            "ownerReferences": [{"kind": "AgentTask", "uid": UID}],
        },
        "status": {"conditions": conditions if finished else []},
    }


def make_job(key: str = "", created: float = 30, finished: str = "", reason: str = "") -> Job:
    return parse_job(job_object(key, created, finished, reason))


def running(name: str, since: float = 10) -> Object:
    return {"name": name, "state": {"running": {"startedAt": format_time(ago(since))}}}


def waiting(name: str, reason: str, message: str = "") -> Object:
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


def dead(name: str, code: int, message: str = "", reason: str = "Error") -> Object:
    state = {
        "exitCode": code,
        "reason": reason,
        "message": message,
        "startedAt": format_time(ago(10)),
        "finishedAt": format_time(ago(2)),
    }
    return {"name": name, "state": {"terminated": state}}


def pod_object(
    *containers: Object, phase: str = "Pending", key: str = "", name: str = "fix-1", **more: Any
) -> Object:
    status = {"phase": phase, "containerStatuses": list(containers)}
    status |= {k: v for k, v in more.items() if k in ("reason", "message", "conditions")}
    metadata: Object = {
        "name": name,
        "namespace": "team",
        "uid": f"pod-{name}",
        "resourceVersion": "12",
        "creationTimestamp": format_time(ago(more.get("created", 29))),
        "labels": {
            names.LABEL_TASK: "fix",
            names.LABEL_TASK_UID: UID,
            names.LABEL_RUN_KEY: key or run_key(),
        },
    }
    if "deletion" in more:
        metadata["deletionTimestamp"] = format_time(more["deletion"])
    return {"metadata": metadata, "spec": {"nodeName": more.get("node", "n1")}, "status": status}


def make_pod(*containers: Object, **more: Any) -> Pod:
    return parse_pod(pod_object(*containers, **more))


def digest(reason: str = "Completed", phase: str = "Succeeded", **more: Any) -> str:
    fields = {"run_key": run_key(), "final": True, "verdict": "Verified", **more}
    return write_digest(Digest(reason=Reason(reason), phase=phase, **fields))


def judged(reason: str = "Completed", phase: str = "Succeeded", **more: Any) -> Pod:
    """Return a pod that ended with a final digest."""
    code = 0 if phase == "Succeeded" else 1
    text = digest(reason, phase, **more)
    return make_pod(
        dead(names.COURIER, 0, text),
        dead(names.AGENT, code, reason="Completed"),
        phase="Succeeded" if code == 0 else "Failed",
        key=more.get("run_key", ""),
    )


def make_facts(task: Task | None = None, **more: Any) -> Facts:
    fields: Object = {"classes": {"standard": make_class()}, "defaults": DEFAULTS, **more}
    return Facts(task=task or make_task(), **fields)
