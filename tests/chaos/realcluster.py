"""The real API server in the place of the one in a dictionary, for the same scenes.

It has the methods of `tests.operator.fakecluster.FakeCluster`, and does what a scene says
of pods through a node without a kubelet. A pod of which nothing was said yet is not shown:
the dictionary has no Job controller that would have made it. Watches are lists that are
compared, so that a scene hears all there is whenever it listens.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from tests.chaos.harness import Api, Object
from tests.chaos.nodes import Node, path_of
from tests.e2e.tasks import eventually
from tests.operator.fakecluster import Change

from agenttask_api import names
from agenttask_api.schema import API_VERSION
from agenttask_operator.cluster import Cluster, Page
from agenttask_operator.kinds import CLASSES, JOBS, PODS, TASKS, Kind

SECONDS = 30.0
KINDS = (TASKS, CLASSES, JOBS, PODS)


class RealCluster:
    """One namespace of the real cluster."""

    def __init__(self, api: Api, cluster: Cluster, space: str, node: Node) -> None:
        self._api, self._cluster, self._space, self._node = api, cluster, space, node
        self.begun = datetime.now(UTC).replace(microsecond=0)
        self.steps: list[str] = []
        self.notes: list[Object] = []
        self._journal: list[Change] = []
        self._told: set[str] = set()
        """Uids of the pods that a kubelet has spoken of."""
        self._known: dict[tuple[str, str], Object] = {}
        """What the journal has told, by kind and uid, in the order of its making."""

    # What a scene does.

    def put(self, kind: Kind, obj: Object) -> None:
        """Make it so: create a task or class, change a spec, speak of a pod, await a Job's end."""
        if kind is PODS:
            self._say(obj)
        elif kind is JOBS:
            self._await_end(obj)
        elif kind is CLASSES:
            # The pods fit no node, so that nobody but the scene speaks of them.
            pod = {"nodeSelector": {"agenttask.dev/nowhere": "true"}}
            kind_ = {"apiVersion": API_VERSION, "kind": "AgentClass"}
            body = _as_created(obj | {"spec": obj["spec"] | {"pod": pod}})
            self._api.request("POST", self._path(CLASSES), body | kind_)
        elif self.all(TASKS):
            spec = {k: v for k, v in obj["spec"].items() if v is not None}
            self._api.request("PATCH", self._path(TASKS, obj["metadata"]["name"]), {"spec": spec})
        else:
            self._api.request("POST", self._path(TASKS), _as_created(obj))

    def remove(self, kind: Kind, obj: Object) -> None:
        """Delete an object and all that belongs to it, and wait until it is gone."""
        path = self._path(kind, obj["metadata"]["name"])
        self._api.delete(f"{path}?propagationPolicy=Background&gracePeriodSeconds=0")
        self._bury(path)

    def all(self, kind: Kind) -> list[Object]:
        """Return what there is, in the order of its making."""
        items = self._shown(kind, self._api.items(self._path(kind)))
        return sorted(
            items, key=lambda o: (o["metadata"]["creationTimestamp"], self._rank(kind, o))
        )

    @property
    def task(self) -> Object:
        return self.all(TASKS)[0]

    @property
    def status(self) -> Object:
        return dict(self.task["status"])

    @property
    def version(self) -> str:
        return str(self._api.get(self._path(JOBS))["metadata"]["resourceVersion"])

    @property
    def journal(self) -> list[Change]:
        """What has changed since the last look is added first."""
        for kind in KINDS:
            self._compare(kind)
        return self._journal

    def before(self, what: str) -> None:
        """A step is about to be taken."""
        self.steps.append(what)

    def after(self) -> None:
        """The step has taken effect."""

    # What the operator does.

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        return await self._cluster.get(kind, name, namespace)

    async def pages(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> AsyncIterator[Page]:
        where = "" if kind is CLASSES else self._space
        async for page in self._cluster.pages(kind, namespace or where, selector):
            yield Page(self._shown(kind, page.items), page.resource_version)

    async def create_job(self, manifest: Object) -> Object:
        self.before("create job")
        return await self._cluster.create_job(manifest)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        self.before("delete job")
        await self._cluster.delete_job(namespace, name, uid)
        self._bury(self._path(JOBS, name))

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        self.before("delete pod")
        await self._cluster.delete_pod(namespace, name, uid)

    async def patch_status(self, *args: Any) -> Object:
        self.before("patch status")
        return await self._cluster.patch_status(*args)

    async def list_events_for(self, _namespace: str, _uid: str) -> list[Object]:
        return self.notes

    async def create_event(self, event: Object) -> None:
        self.before("event")
        await self._cluster.create_event(event)

    # How it is done.

    def _path(self, kind: Kind, name: str = "") -> str:
        return kind.path("" if kind is CLASSES else self._space, name)

    def _shown(self, kind: Kind, items: list[Object]) -> list[Object]:
        if kind is CLASSES:
            return [i for i in items if i["metadata"]["name"] == self.class_name]
        return [i for i in items if kind is not PODS or i["metadata"]["uid"] in self._told]

    @property
    def class_name(self) -> str:
        """A class's name is the cluster's: it must be this scene's own."""
        return f"standard-{self._space}"

    def _rank(self, kind: Kind, obj: Object) -> int:
        known = [uid for plural, uid in self._known if plural == kind.plural]
        uid = obj["metadata"]["uid"]
        return known.index(uid) if uid in known else len(known)

    def _compare(self, kind: Kind) -> None:
        now = {i["metadata"]["uid"]: i for i in self.all(kind)}
        for uid, obj in now.items():
            old = self._known.get((kind.plural, uid))
            new = obj["metadata"]["resourceVersion"]
            if not old or old["metadata"]["resourceVersion"] != new:
                self._journal.append(Change(kind, "MODIFIED" if old else "ADDED", obj, old))
                self._known[kind.plural, uid] = obj
        for plural, uid in [k for k in self._known if k[0] == kind.plural and k[1] not in now]:
            last = self._known.pop((plural, uid))
            self._journal.append(Change(kind, "DELETED", _as_deleted(last), last))

    def _say(self, obj: Object) -> None:
        pod = self._pod(obj["metadata"]["labels"][names.LABEL_RUN_KEY])
        if not pod["spec"].get("nodeName"):
            self._node.bind(pod)
        status = obj["status"]
        said = {c["name"]: c["state"] for c in status["containerStatuses"]}
        self._api.say(pod, status["phase"], **said)
        self._told.add(pod["metadata"]["uid"])

    def _pod(self, run_key: str) -> Object:
        selector = f"labelSelector={names.LABEL_RUN_KEY}%3D{run_key}"

        def found() -> list[Object]:
            return self._api.items(f"{self._path(PODS)}?{selector}")

        return dict(eventually(found, SECONDS, f"a pod of run {run_key}")[-1])

    def _await_end(self, obj: Object) -> None:
        path = self._path(JOBS, obj["metadata"]["name"])
        wanted = {c["type"] for c in obj["status"]["conditions"]}

        def ended() -> bool:
            conditions = self._api.get(path).get("status", {}).get("conditions", [])
            return wanted <= {c["type"] for c in conditions if c["status"] == "True"}

        eventually(ended, SECONDS, f"the Job to be {wanted}")

    def _bury(self, path: str) -> None:
        """Wait until the object is gone; what its deletion leaves to a kubelet is done at once."""

        def gone() -> bool:
            for pod in self._api.items(self._path(PODS)):
                if pod["metadata"].get("deletionTimestamp"):
                    self._api.delete(f"{path_of(pod)}?gracePeriodSeconds=0")
            left = [p for p in self._api.items(self._path(PODS)) if _orphaned(p, self._jobs())]
            return not self._api.get(path) and not left

        eventually(gone, SECONDS, f"{path} to go")

    def _jobs(self) -> set[str]:
        return {j["metadata"]["uid"] for j in self._api.items(self._path(JOBS))}


def _orphaned(pod: Object, jobs: set[str]) -> bool:
    owners = {o["uid"] for o in pod["metadata"].get("ownerReferences", [])}
    return not owners & jobs


def _as_deleted(last: Object) -> Object:
    """Return the object with a version that is newer than its last one, as a deletion has."""
    version = str(int(last["metadata"]["resourceVersion"]) + 1)
    return last | {"metadata": last["metadata"] | {"resourceVersion": version}}


def _as_created(obj: Object) -> Object:
    """Return what a user would send."""
    metadata = {k: v for k, v in obj["metadata"].items() if k in ("name", "annotations")}
    return {k: v for k, v in obj.items() if k != "status"} | {"metadata": metadata}
