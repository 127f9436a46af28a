"""What the watches of tasks tell of a change, as the real API server does it.

A watch that selects tells the leaving of an object as its deletion, with the contents from
before and the version of the change; its coming in is an addition.
"""

from typing import Any

from agenttask_api.status import TERMINAL_PHASES
from agenttask_operator.kinds import ROSTER, UNFINISHED, Kind
from agenttask_operator.tables import OBSERVED, PHASE, PUBLISHED, UNSENT

Object = dict[str, Any]


def selected(kind: Kind, obj: Object) -> bool:
    """Say whether lists and watches of that kind show the object."""
    return kind is not UNFINISHED or (obj.get("status") or {}).get("phase") not in TERMINAL_PHASES


def shown(kind: Kind, obj: Object) -> Object:
    """Return what they show of it."""
    return line(obj) if kind is ROSTER else obj


def told(kind: Kind, type_: str, obj: Object, before: Object | None) -> tuple[str, Object] | None:
    """Return the event of that kind of watch; None = it says nothing."""
    was, is_ = bool(before) and selected(kind, before or {}), selected(kind, obj)
    if type_ == "DELETED" or not was or is_:
        now = was if type_ == "DELETED" else is_
        return (type_ if was or type_ == "DELETED" else "ADDED", shown(kind, obj)) if now else None
    assert before
    version = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return "DELETED", shown(kind, before | {"metadata": before["metadata"] | version})


def line(obj: Object) -> Object:
    """Return the task as the roster shows it."""
    status, metadata = obj.get("status") or {}, obj["metadata"]
    published = [c for c in status.get("conditions") or [] if c["type"] == "EventsPublished"]
    pending = (status.get("outbox") or {}).get("pending") or []
    kept = ("name", "namespace", "uid", "resourceVersion", "generation")
    return {
        "metadata": {k: metadata[k] for k in kept if k in metadata},
        "cells": {
            PHASE: status.get("phase"),
            OBSERVED: status.get("observedGeneration"),
            PUBLISHED: published[0]["status"] if published else None,
            UNSENT: pending[0]["key"] if pending else None,
        },
    }


def table(objects: list[Object], version: str) -> Object:
    """Return tasks as a table, as the API server makes it when asked for one."""
    lines = [line(obj) for obj in objects]
    names = [PHASE, OBSERVED, PUBLISHED, UNSENT]
    return {
        "kind": "Table",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [{"name": name} for name in ("Name", *names)],
        "rows": [
            {
                "cells": [one["metadata"]["name"], *(one["cells"][name] for name in names)],
                "object": {"kind": "PartialObjectMetadata", "metadata": one["metadata"]},
            }
            for one in lines
        ],
    }
