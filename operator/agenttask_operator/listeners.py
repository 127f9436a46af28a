"""News of Jobs and pods: into the cache, and their tasks onto the queue."""

from agenttask_api.names import LABEL_TASK
from agenttask_operator.cache import Cache
from agenttask_operator.informer import Listener
from agenttask_operator.kinds import Object
from agenttask_operator.observed import Key, parse_job, parse_pod
from agenttask_operator.queue import WorkQueue


def job_listener(cache: Cache, queue: WorkQueue, scope: str = "") -> Listener:
    """Return what to do with news of Jobs of a namespace; empty = of all."""

    def replace(items: list[Object], version: str) -> None:
        for key in cache.replace_jobs([parse_job(i) for i in items], version, scope):
            queue.add(key)
        _wake(cache, queue, items)

    def changed(obj: Object) -> None:
        if cache.put_job(parse_job(obj)):
            _wake(cache, queue, [obj])

    def deleted(obj: Object) -> None:
        job = parse_job(obj)
        cache.drop_job(job.key, job.uid)
        _wake(cache, queue, [obj])

    return Listener(replace, changed, deleted)


def pod_listener(cache: Cache, queue: WorkQueue, scope: str = "") -> Listener:
    """Return what to do with news of pods of a namespace; empty = of all."""

    def replace(items: list[Object], version: str) -> None:
        for key in cache.replace_pods([parse_pod(i) for i in items], version, scope):
            queue.add(key)
        _wake(cache, queue, items)

    def changed(obj: Object) -> None:
        if cache.put_pod(parse_pod(obj)):
            _wake(cache, queue, [obj])

    def deleted(obj: Object) -> None:
        cache.end_pod(parse_pod(obj))
        _wake(cache, queue, [obj])

    return Listener(replace, changed, deleted)


def _wake(cache: Cache, queue: WorkQueue, items: list[Object]) -> None:
    """Put the tasks of these Jobs or pods on the queue, as far as they are alive."""
    for item in items:
        labels = item["metadata"].get("labels") or {}
        key = Key(item["metadata"]["namespace"], labels.get(LABEL_TASK, ""))
        if key in cache.tasks:
            queue.add(key)
