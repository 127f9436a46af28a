"""News of tasks and classes, from kopf's watches and from lists of our own.

A watch may lose what happened while it was down, deletions above all. A list tells the
whole truth, so everything is listed when the work begins and then again and again.
"""

import logging
from dataclasses import replace

from agenttask_api.status import TERMINAL_PHASES, ConditionType
from agenttask_operator.cache import Cache
from agenttask_operator.cluster import CLASSES, TASKS, Cluster, Object
from agenttask_operator.observed import Key, parse_class, parse_task
from agenttask_operator.queue import WorkQueue
from agenttask_operator.reconcile import Reconciler
from agenttask_operator.status import is_final

PUBLISHED = ConditionType.EVENTS_PUBLISHED.value

log = logging.getLogger(__name__)


class News:
    """Takes news of tasks and classes into the cache and puts keys on the queue."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        queue: WorkQueue,
        reconciler: Reconciler,
        nats: bool = False,
    ) -> None:
        self._nats = nats
        self._cluster = cluster
        self._cache = cache
        self._queue = queue
        self._reconciler = reconciler

    def task(self, type_: str | None, obj: Object, force: bool = False) -> None:
        """Take news of a task; `force` = it is the truth, whatever its version."""
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        version = metadata.get("resourceVersion", "")
        if type_ == "DELETED":
            self._reconciler.forget(key)
        elif not force and self._cache.is_finished(key, metadata["uid"], version):
            return
        elif is_over(obj, self._nats):
            self._reconciler.forget(key)
            self._cache.finish(key, metadata["uid"], version)
        else:
            self._cache.finished.pop(key, None)
            if self._cache.put_task(parse_task(obj, self._cache.tasks.get(key)), force):
                self._queue.add(key)

    def class_(self, type_: str | None, obj: Object) -> None:
        """Take news of a class: every task that is not under way may be waiting for it."""
        class_ = parse_class(obj)
        if type_ == "DELETED":
            self._cache.classes.pop(class_.name, None)
        else:
            known = self._cache.classes.get(class_.name)
            self._cache.classes[class_.name] = class_
            if known and replace(known, resource_version=class_.resource_version) == class_:
                return
        for key, task in list(self._cache.tasks.items()):
            if not is_final(task.status) and not self._cache.jobs_of(task.uid):
                self._queue.add(key)

    async def list_classes(self) -> None:
        """Read all classes; raises ClusterError."""
        seen: set[str] = set()
        async for page in self._cluster.pages(CLASSES):
            for item in page.items:
                seen.add(item["metadata"]["name"])
                self.class_(None, item)
        for name in set(self._cache.classes) - seen:
            self._cache.classes.pop(name, None)

    async def list_tasks(self, scope: str) -> None:
        """Read all tasks of a namespace, or of all; raises ClusterError."""
        seen: set[Key] = set()
        version, restored = "", False
        async for page in self._cluster.pages(TASKS, scope):
            # All pages are of one version.
            if page.resource_version != version:
                version = page.resource_version
                restored = self._cache.went_back("tasks", scope, version)
            for item in page.items:
                seen.add(Key(item["metadata"]["namespace"], item["metadata"]["name"]))
                self.task(None, item, restored)
        self._purge(scope, seen, "" if restored else version)
        for key, task in self._cache.tasks.items():
            if not is_final(task.status):
                self._queue.add(key)

    def _purge(self, scope: str, seen: set[Key], version: str) -> None:
        for key, task in list(self._cache.tasks.items()):
            ours = not scope or key.namespace == scope
            if ours and key not in seen and _older(task.resource_version, version):
                log.info(
                    "a task vanished unseen", extra={"namespace": key.namespace, "task": key.name}
                )
                self._reconciler.forget(key)
        for key in set(self._cache.finished) - seen:
            if not scope or key.namespace == scope:
                self._cache.finished.pop(key, None)


def is_over(obj: Object, nats: bool) -> bool:
    """Say whether nothing is left to do for a task, from what is stored, without parsing it all.

    Ten thousand finished tasks are listed at every start and stay with us as a number each.
    """
    status = obj.get("status") or {}
    if status.get("phase") not in TERMINAL_PHASES:
        return False
    if status.get("observedGeneration") != obj["metadata"].get("generation", 0):
        return False
    if (status.get("outbox") or {}).get("pending"):
        return False
    published = [c for c in status.get("conditions") or [] if c.get("type") == PUBLISHED]
    return not nats or any(c.get("status") == "True" for c in published)


def _older(known: str, version: str) -> bool:
    return not (known.isdigit() and version.isdigit()) or int(known) <= int(version)
