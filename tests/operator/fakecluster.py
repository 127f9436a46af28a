"""An API server in a dictionary: versions, conflicts, merge patches, background deletion.

`fail_before` and `fail_after` raise at the n-th step, before or after it took effect: the
two ways in which a crash can cut a reconcile short. Steps are writes, Events and messages.
"""

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tests.operator.builders import NOW
from tests.operator.taskwatches import selected, shown
from tests.operator.world import merged

from agenttask_operator.clock import format_time
from agenttask_operator.cluster import Page
from agenttask_operator.errors import Conflict, NotFound
from agenttask_operator.kinds import JOBS, PODS, TASKS, Kind

Object = dict[str, Any]


class Crash(BaseException):
    """The process died."""


@dataclass(frozen=True)
class Change:
    """What a watch of that kind tells."""

    kind: Kind
    type: str
    object: Object
    before: Object | None = None
    """What the object was before."""


class FakeCluster:
    def __init__(self) -> None:
        self.journal: list[Change] = []
        """All changes there were, in order."""
        self.begun = NOW
        """When the story begins."""
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.events: dict[str, Object] = {}
        self.notes: list[Object] = []
        self.writes: list[str] = []
        self.steps: list[str] = []
        self.fail_before = self.fail_after = 0
        self.refuse_jobs: Exception | None = None
        self.refuse_policies: Exception | None = None
        self._version = 100

    def put(self, kind: Kind, obj: Object) -> Object:
        self._version += 1
        obj = copy.deepcopy(obj)
        obj["metadata"]["resourceVersion"] = str(self._version)
        obj["metadata"].setdefault("uid", f"uid-{self._version}")
        obj["metadata"].setdefault("creationTimestamp", format_time(NOW))
        before = self.objects.get(self._at(kind, obj))
        self.objects[self._at(kind, obj)] = obj
        type_ = "MODIFIED" if before else "ADDED"
        self.journal.append(Change(kind, type_, copy.deepcopy(obj), before))
        return copy.deepcopy(obj)

    def remove(self, kind: Kind, obj: Object) -> None:
        """Delete an object, if it is there."""
        found = self.objects.pop(self._at(kind, obj), None)
        if found:
            self._version += 1
            before = copy.deepcopy(found)
            found["metadata"]["resourceVersion"] = str(self._version)
            self.journal.append(Change(kind, "DELETED", copy.deepcopy(found), before))

    def all(self, kind: Kind) -> list[Object]:
        return [copy.deepcopy(o) for k, o in self.objects.items() if k[0] == kind.plural]

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        try:
            return copy.deepcopy(self.objects[kind.plural, namespace, name])
        except KeyError:
            raise NotFound(name) from None

    async def pages(
        self, kind: Kind, _namespace: str = "", _selector: str = ""
    ) -> AsyncIterator[Page]:
        yield Page(
            [shown(kind, o) for o in self.all(kind) if selected(kind, o)], str(self._version)
        )

    async def create_job(self, manifest: Object) -> Object:
        self._before("create job")
        if self.refuse_jobs:
            self.after()
            raise self.refuse_jobs
        if self._at(JOBS, manifest) in self.objects:
            raise Conflict("exists")
        return self._after(self.put(JOBS, manifest))

    async def apply(self, kind: Kind, manifest: Object) -> Object:
        self._before("apply policy")
        if self.refuse_policies:
            raise self.refuse_policies
        return self._after(self.put(kind, manifest))

    async def delete_job(self, namespace: str, name: str, _uid: str) -> None:
        self._before("delete job")
        self.remove(JOBS, {"metadata": {"namespace": namespace, "name": name}})
        for pod in self.all(PODS):
            self.remove(PODS, pod)
        self._after({})

    async def delete_pod(self, namespace: str, name: str, _uid: str) -> None:
        self._before("delete pod")
        self.remove(PODS, {"metadata": {"namespace": namespace, "name": name}})
        self._after({})

    async def patch_status(
        self, kind: Kind, namespace: str, name: str, resource_version: str, status: Object
    ) -> Object:
        self._before("patch status")
        obj = await self.get(kind, name, namespace)
        if obj["metadata"]["resourceVersion"] != resource_version:
            raise Conflict("newer")
        obj["status"] = merged(obj.get("status", {}), status)
        return self._after(self.put(kind, obj))

    async def list_events_for(self, _namespace: str, _uid: str) -> list[Object]:
        return self.notes

    async def create_event(self, event: Object) -> None:
        self.before("event")
        self.events.setdefault(event["metadata"]["name"], event)
        self.after()

    @property
    def task(self) -> Object:
        return self.all(TASKS)[0]

    @property
    def status(self) -> Object:
        return dict(self.task["status"])

    @property
    def version(self) -> str:
        return str(self._version)

    def _at(self, kind: Kind, obj: Object) -> tuple[str, str, str]:
        return kind.plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]

    def _before(self, what: str) -> None:
        self.writes.append(what)
        self.before(what)

    def _after(self, obj: Object) -> Object:
        self.after()
        return obj

    def before(self, what: str) -> None:
        """A step is about to be taken."""
        self.steps.append(what)
        if len(self.steps) == self.fail_before:
            raise Crash

    def after(self) -> None:
        """The step has taken effect."""
        if len(self.steps) == self.fail_after:
            raise Crash
