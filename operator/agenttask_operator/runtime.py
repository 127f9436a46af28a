"""Everything that runs, wired once: informers, workers, resync, outbox.

kopf brings events of tasks and classes; Jobs and pods come from informers of our
own. Both only change the cache and put keys on the queue. Workers start when all is
known, since an empty cache looks just like a cluster whose Jobs are lost.
"""

import asyncio
import logging
from collections.abc import Coroutine

from agenttask_api.names import LABEL_TASK
from agenttask_operator import clock
from agenttask_operator.cache import Cache
from agenttask_operator.cluster import CLASSES, JOBS, PODS, TASKS, Cluster, Object
from agenttask_operator.errors import ClusterError, Unavailable
from agenttask_operator.facts import Defaults
from agenttask_operator.informer import Informer, Listener
from agenttask_operator.observed import (
    Key,
    parse_class,
    parse_job,
    parse_pod,
    parse_task,
)
from agenttask_operator.outbox import Outbox
from agenttask_operator.queue import WorkQueue
from agenttask_operator.reconcile import Reconciler
from agenttask_operator.settings import Settings
from agenttask_operator.status import is_final

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
FORBIDDEN_SECONDS = 10.0
MAX_SILENCE_SECONDS = 180.0
"""An informer that heard nothing for longer is not alive: bookmarks come every minute."""


class Runtime:
    """One operator process."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster
        self.cache = Cache()
        self.queue = WorkQueue()
        nats_url = settings.nats_url
        self._outbox = Outbox(nats_url, settings.nats_creds) if nats_url else None
        defaults = Defaults(settings.agent_image, nats_url, settings.cluster_id)
        self._reconciler = Reconciler(
            cluster, self.cache, self.queue, self._outbox, defaults, clock.now
        )
        self._informers = [
            Informer(cluster, kind, scope, listener)
            for scope in settings.namespaces or ("",)
            for kind, listener in ((JOBS, self._job_listener()), (PODS, self._pod_listener()))
        ]
        self._running: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start everything in the background."""
        if self._outbox:
            self._outbox.on_ready = self._reconciler.retry_publications
            self._outbox.start()
        for number, informer in enumerate(self._informers):
            self._spawn(informer.run(), f"informer-{number}")
        self._spawn(self._work_when_synced(), "synced")

    async def stop(self) -> None:
        """Stop everything; work that was begun is safe to begin again."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._outbox:
            await self._outbox.close()
        await self._cluster.close()

    def ailment(self) -> str:
        """Return why this process should be restarted; empty = it is well."""
        dead = [t.get_name() for t in self._running if t.done() and t.get_name() != "synced"]
        if dead:
            return f"stopped: {', '.join(dead)}"
        now = asyncio.get_running_loop().time()
        for informer in self._informers:
            if informer.last_heard and now - informer.last_heard > MAX_SILENCE_SECONDS:
                return "an informer has heard nothing for too long"
        return ""

    def task_event(self, type_: str | None, obj: Object) -> None:
        """Take news of a task."""
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        version = metadata.get("resourceVersion", "")
        if type_ == "DELETED":
            self._reconciler.forget(key)
        elif not self.cache.is_finished(key, metadata["uid"], version):
            self.cache.finished.pop(key, None)
            if self.cache.put_task(parse_task(obj, self.cache.tasks.get(key))):
                self.queue.add(key)

    def class_event(self, type_: str | None, obj: Object) -> None:
        """Take news of a class: every task that is not under way may be waiting for it."""
        class_ = parse_class(obj)
        if type_ == "DELETED":
            self.cache.classes.pop(class_.name, None)
        elif self.cache.classes.get(class_.name) == class_:
            return
        else:
            self.cache.classes[class_.name] = class_
        for key, task in list(self.cache.tasks.items()):
            if not is_final(task.status) and not self.cache.jobs_of(task.uid):
                self.queue.add(key)

    # Background.

    def _spawn(self, coroutine: Coroutine[None, None, None], name: str) -> None:
        self._running.append(asyncio.create_task(coroutine, name=name))

    async def _work_when_synced(self) -> None:
        await asyncio.gather(*(i.synced.wait() for i in self._informers))
        await self._first_classes()
        for number in range(self._settings.workers):
            self._spawn(self._work(), f"worker-{number}")
        self._spawn(self._resync_for_ever(), "resync")
        log.info("synced: %d tasks wait", len(self.queue))

    async def _first_classes(self) -> None:
        while True:
            try:
                await self._list_classes()
            except ClusterError as error:
                log.warning("classes cannot be listed: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._work_on(key)
            finally:
                self.queue.done(key)

    async def _work_on(self, key: Key) -> None:
        extra = {"namespace": key.namespace, "task": key.name}
        try:
            await self._reconciler.reconcile(key)
        except Unavailable as error:
            delay = self.queue.add_failed(key, error.retry_after)
            log.warning(
                "the API server is unavailable, again in %.1f s: %s", delay, error, extra=extra
            )
        except ClusterError as error:
            delay = self.queue.add_failed(key, FORBIDDEN_SECONDS)
            log.error("again in %.1f s: %s", delay, error, extra=extra)
        except Exception:
            delay = self.queue.add_failed(key, RETRY_SECONDS)
            log.exception("a fault of ours, again in %.1f s", delay, extra=extra)
        else:
            self.queue.forgive(key)

    # Repairing what watches lost.

    async def _resync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            try:
                await self._resync()
            except ClusterError as error:
                log.warning("resync: %s", error)
            except Exception:
                log.exception("resync failed")

    async def _resync(self) -> None:
        for informer in self._informers:
            await informer.resync()
        await self._list_classes()
        for scope in self._settings.namespaces or ("",):
            await self._resync_tasks(scope)

    async def _list_classes(self) -> None:
        seen: set[str] = set()
        async for page in self._cluster.pages(CLASSES):
            for item in page.items:
                seen.add(item["metadata"]["name"])
                self.class_event(None, item)
        for name in set(self.cache.classes) - seen:
            self.cache.classes.pop(name, None)

    async def _resync_tasks(self, scope: str) -> None:
        seen: set[Key] = set()
        version = ""
        async for page in self._cluster.pages(TASKS, scope):
            version = page.resource_version
            for item in page.items:
                seen.add(Key(item["metadata"]["namespace"], item["metadata"]["name"]))
                self.task_event(None, item)
        self._purge(scope, seen, version)
        for key, task in self.cache.tasks.items():
            if not is_final(task.status):
                self.queue.add(key)

    def _purge(self, scope: str, seen: set[Key], version: str) -> None:
        for key, task in list(self.cache.tasks.items()):
            ours = not scope or key.namespace == scope
            if ours and key not in seen and _older(task.resource_version, version):
                log.info(
                    "a task vanished unseen", extra={"namespace": key.namespace, "task": key.name}
                )
                self._reconciler.forget(key)
        for key in set(self.cache.finished) - seen:
            if not scope or key.namespace == scope:
                self.cache.finished.pop(key, None)

    # News of Jobs and pods.

    def _job_listener(self) -> Listener:
        def replace(items: list[Object], version: str) -> None:
            for key in self.cache.replace_jobs([parse_job(i) for i in items], version):
                self.queue.add(key)
            self._wake(items)

        def changed(obj: Object) -> None:
            self.cache.put_job(parse_job(obj))
            self._wake([obj])

        def deleted(obj: Object) -> None:
            job = parse_job(obj)
            self.cache.drop_job(job.key, job.uid)
            self._wake([obj])

        return Listener(replace, changed, deleted)

    def _pod_listener(self) -> Listener:
        def replace(items: list[Object], version: str) -> None:
            for key in self.cache.replace_pods([parse_pod(i) for i in items], version):
                self.queue.add(key)
            self._wake(items)

        def changed(obj: Object) -> None:
            self.cache.put_pod(parse_pod(obj))
            self._wake([obj])

        def deleted(obj: Object) -> None:
            self.cache.end_pod(parse_pod(obj))
            self._wake([obj])

        return Listener(replace, changed, deleted)

    def _wake(self, items: list[Object]) -> None:
        """Put the tasks of these Jobs or pods on the queue, as far as they are alive."""
        for item in items:
            labels = item["metadata"].get("labels") or {}
            key = Key(item["metadata"]["namespace"], labels.get(LABEL_TASK, ""))
            if key in self.cache.tasks:
                self.queue.add(key)


def _older(known: str, version: str) -> bool:
    return not (known.isdigit() and version.isdigit()) or int(known) <= int(version)
