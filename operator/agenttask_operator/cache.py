"""What we believe of the cluster, until told otherwise.

An object replaces the one before it only if it is newer, so that our own writes,
which are put here at once, are not undone by an event that was under way. Finished
tasks are not kept: ten thousand of them must cost nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from agenttask_operator.observed import AgentClass, Job, Key, Pod, Task


class Versioned(Protocol):
    """Anything with a version."""

    @property
    def uid(self) -> str:
        """Which object."""

    @property
    def resource_version(self) -> str:
        """Which version of it."""


V = TypeVar("V", bound=Versioned)


class Cache:
    """Tasks, classes, Jobs and pods, with Jobs and pods found by their task's uid."""

    def __init__(self) -> None:
        self.tasks: dict[Key, Task] = {}
        self.finished: dict[Key, int] = {}
        """Version of tasks that are done with, so that late news of them is ignored."""
        self.doubts: dict[Key, int] = {}
        """Tasks of which a watch said less than all, and as of which version."""
        self.classes: dict[str, AgentClass] = {}
        self._jobs: dict[Key, Job] = {}
        self._pods: dict[Key, Pod] = {}
        self._at_work: dict[Key, Key] = {}
        """Jobs at work, with their tasks."""
        self.busy: Counter[Key] = Counter()
        """Tasks that have a Job at work, and how many."""
        self.on_busy: Callable[[Key], None] = lambda _: None
        """Told of every task whose first Job begins to work, or whose last one ends."""
        self._listed: dict[tuple[str, str], int] = {}
        """Version of the last list, by what was listed."""
        self._jobs_of: dict[str, set[Key]] = {}
        self._pods_of: dict[str, set[Key]] = {}

    def put_task(self, task: Task, force: bool = False) -> bool:
        """Take the task if it is newer than ours; say whether it was taken."""
        if not force and not _newer(self.tasks.get(task.key), task):
            return False
        self.tasks[task.key] = task
        return True

    def take_task(self, task: Task) -> None:
        """Take the task as it was read: that is the truth, and no doubt is left."""
        self.finished.pop(task.key, None)
        self.doubts.pop(task.key, None)
        self.put_task(task, force=True)

    def finish_task(self, task: Task) -> None:
        """Forget the task but for its version: nothing is left to do for it."""
        self.drop_task(task.key)
        self.finish(task.key, task.resource_version)

    def finish(self, key: Key, resource_version: str) -> None:
        """Remember that nothing is left to do for the task as of that version."""
        self.finished[key] = _number(resource_version)

    def is_late(self, key: Key, resource_version: str) -> bool:
        """Say whether what we know of the task is as new as news of that version, or newer."""
        return 0 < _number(resource_version) <= self._known(key)

    def doubt(self, key: Key, resource_version: str) -> None:
        """Remember that the task must be read before anything is done for it."""
        self.doubts[key] = max(_number(resource_version), self.doubts.get(key, 0))

    def in_doubt(self, key: Key) -> bool:
        """Say whether the task must be read (still)."""
        if self._known(key) >= self.doubts.get(key, 0):
            self.doubts.pop(key, None)
        return key in self.doubts

    def _known(self, key: Key) -> int:
        """Return the version as of which we know the task; 0 = we know nothing."""
        task = self.tasks.get(key)
        return max(_number(task.resource_version) if task else 0, self.finished.get(key, 0))

    def drop_task(self, key: Key) -> None:
        """Forget the task, and what was left of its pods."""
        self.finished.pop(key, None)
        self.doubts.pop(key, None)
        task = self.tasks.pop(key, None)
        for pod in self.pods_of(task.uid) if task else ():
            if pod.gone:
                self._remove_pod(pod.key)

    def put_job(self, job: Job, force: bool = False) -> bool:
        """Take the Job if it is newer than ours; say whether that tells us anything."""
        known = self._jobs.get(job.key)
        if force or _newer(known, job):
            self._jobs[job.key] = job
            self._jobs_of.setdefault(job.task_uid, set()).add(job.key)
            if job.finished or job.suspended:
                self._rest(job.key)
            elif job.key not in self._at_work:
                self._at_work[job.key] = job.task_key
                self.busy[job.task_key] += 1
                self.on_busy(job.task_key)
        return _tells(known, job)

    def drop_job(self, key: Key, uid: str = "") -> None:
        """Forget the Job, unless another one of its name has taken its place."""
        job = self._jobs.get(key)
        if job and (not uid or job.uid == uid):
            del self._jobs[key]
            _discard(self._jobs_of, job.task_uid, key)
            self._rest(key)

    def put_pod(self, pod: Pod, force: bool = False) -> bool:
        """Take the pod if it is newer than ours; say whether that tells us anything."""
        known = self._pods.get(pod.key)
        if force or _newer(known, pod):
            self._pods[pod.key] = pod
            self._pods_of.setdefault(pod.task_uid, set()).add(pod.key)
        return _tells(known, pod)

    def end_pod(self, pod: Pod) -> None:
        """Keep a deleted pod as evidence while its task is alive; else forget it."""
        if pod.task_key in self.tasks:
            self.put_pod(replace(pod, gone=True), force=True)
        else:
            self._remove_pod(pod.key)

    def replace_jobs(self, jobs: Iterable[Job], version: str, scope: str = "") -> set[Key]:
        """Take a list of a namespace (empty = of all) as of that version.

        Returns the tasks of Jobs that have vanished.
        """
        restored = self.went_back("jobs", scope, version)
        listed = {job.key: job for job in jobs}
        for job in listed.values():
            self.put_job(job, force=restored)
        lost = [j for j in _vanished(self._jobs, listed, scope) if restored or _as_old(j, version)]
        for job in lost:
            self.drop_job(job.key)
        return {job.task_key for job in lost}

    def replace_pods(self, pods: Iterable[Pod], version: str, scope: str = "") -> set[Key]:
        """Take a list of a namespace (empty = of all) as of that version.

        Returns the tasks of pods that have vanished.
        """
        restored = self.went_back("pods", scope, version)
        listed = {pod.key: pod for pod in pods}
        for pod in listed.values():
            self.put_pod(pod, force=restored)
        vanished = [p for p in _vanished(self._pods, listed, scope) if not p.gone]
        lost = [p for p in vanished if restored or _as_old(p, version)]
        for pod in lost:
            self.end_pod(pod)
        return {pod.task_key for pod in lost}

    def went_back(self, what: str, scope: str, version: str) -> bool:
        """Say whether a list is older than the one before it: etcd was restored from a backup.

        From then on versions say nothing about which of two objects is newer.
        """
        before, now = self._listed.get((what, scope), 0), _number(version)
        self._listed[what, scope] = now
        return 0 < now < before

    def jobs_of(self, uid: str) -> tuple[Job, ...]:
        """Return the Jobs of a task, oldest first."""
        return tuple(_sorted(self._jobs[k] for k in self._jobs_of.get(uid, ())))

    def pods_of(self, uid: str) -> tuple[Pod, ...]:
        """Return the pods of a task, oldest first."""
        return tuple(_sorted(self._pods[k] for k in self._pods_of.get(uid, ())))

    def _rest(self, key: Key) -> None:
        task_key = self._at_work.pop(key, None)
        if not task_key:
            return
        self.busy[task_key] -= 1
        if not self.busy[task_key]:
            del self.busy[task_key]
        self.on_busy(task_key)

    def _remove_pod(self, key: Key) -> None:
        pod = self._pods.pop(key, None)
        if pod:
            _discard(self._pods_of, pod.task_uid, key)


J = TypeVar("J", Job, Pod)


def _sorted(objects: Iterable[J]) -> list[J]:
    return sorted(objects, key=lambda o: (o.created.timestamp() if o.created else 0.0, o.key))


def _vanished(known: Mapping[Key, J], listed: Mapping[Key, J], scope: str) -> list[J]:
    """Return what is known of the scope and was not listed."""
    return [o for k, o in known.items() if k not in listed and scope in ("", k.namespace)]


def _discard(index: dict[str, set[Key]], uid: str, key: Key) -> None:
    keys = index.get(uid, set())
    keys.discard(key)
    if not keys:
        index.pop(uid, None)


def _tells(known: J | None, news: J) -> bool:
    """Say whether more has changed than the version: much of an object is not ours to use."""
    return known is None or replace(known, resource_version=news.resource_version) != news


def _newer(old: V | None, new: V) -> bool:
    if old is None or old.uid != new.uid:
        return True
    try:
        return int(new.resource_version) > int(old.resource_version)
    except ValueError:
        return True


def _as_old(known: Versioned, version: str) -> bool:
    """Say whether a list of that version would have shown the object."""
    try:
        return int(known.resource_version) <= int(version)
    except ValueError:
        return True


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
