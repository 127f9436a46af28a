"""News of classes, from kopf's watch and from lists of our own.

A watch may lose what happened while it was down, deletions above all. A list tells the
whole truth, so everything is listed when the work begins and then again and again.
"""

from dataclasses import replace

from agenttask_operator.cache import Cache
from agenttask_operator.cluster import Cluster
from agenttask_operator.kinds import CLASSES, Object
from agenttask_operator.observed import parse_class
from agenttask_operator.queue import WorkQueue
from agenttask_operator.status import is_final


class News:
    """Takes news of classes into the cache and puts the keys of tasks on the queue."""

    def __init__(self, cluster: Cluster, cache: Cache, queue: WorkQueue) -> None:
        self._cluster = cluster
        self._cache = cache
        self._queue = queue

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
