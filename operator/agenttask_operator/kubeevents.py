"""Kubernetes Events: at most four per run, each with a name of its own.

Pure. The name is made from what is told, so telling it again creates nothing.
"""

import hashlib
from datetime import datetime
from typing import Any

from agenttask_api.schema import API_VERSION
from agenttask_operator.actions import EmitEvent
from agenttask_operator.clock import format_time
from agenttask_operator.observed import Task

Object = dict[str, Any]


def build_event(task: Task, action: EmitEvent, now: datetime) -> Object:
    """Return the Event; its name is the same whenever the same thing is told."""
    seed = f"{task.uid}/{action.run_key}/{action.slot}"
    name = f"{task.key.name}.{hashlib.sha256(seed.encode()).hexdigest()[:12]}"
    time = format_time(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": task.key.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "AgentTask",
            "namespace": task.key.namespace,
            "name": task.key.name,
            "uid": task.uid,
            "resourceVersion": task.resource_version,
        },
        "reason": action.reason.value,
        "message": action.message,
        "type": "Warning" if action.warning else "Normal",
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": "agenttask-operator"},
        "reportingComponent": "agenttask-operator",
        "reportingInstance": "agenttask-operator",
    }
