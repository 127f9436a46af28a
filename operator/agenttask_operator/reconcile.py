"""Bring one task's world in line with its spec: gather facts, plan, act, and again.

The loop ends when the plan has nothing more to do now. What must be remembered
between plans (what was created, refused, published, and since when a write is due)
is kept per task in a `Memory`; losing it costs a repetition, never a duplicate.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from agenttask_api import names
from agenttask_api.reasons import Kind, Reason, meaning
from agenttask_api.result import AgentResult
from agenttask_operator.actions import (
    Action,
    CreateJob,
    DeleteJob,
    EmitEvent,
    PatchStatus,
    Publish,
    Requeue,
)
from agenttask_operator.blockers import Note, parse_notes
from agenttask_operator.cache import Cache
from agenttask_operator.cluster import JOBS, NAMESPACES, PODS, TASKS, Cluster
from agenttask_operator.errors import ClusterError, Conflict, Forbidden, NotFound, Refused
from agenttask_operator.facts import Defaults, Facts, Publication, Refusal
from agenttask_operator.kubeevents import build_event
from agenttask_operator.messages import Message
from agenttask_operator.needs import missing_jobs, wants_namespace, wants_notes, wants_result
from agenttask_operator.observed import Key, Task, parse_job, parse_pod, parse_task
from agenttask_operator.planner import plan
from agenttask_operator.queue import WorkQueue
from agenttask_operator.status import is_final

log = logging.getLogger(__name__)

MAX_ROUNDS = 8
"""Plans in one reconcile; a task needs four at most, so more of them are a fault."""
NOTES_SECONDS = 3.0
LABELS_SECONDS = 60.0
PUBLISH_FIRST_SECONDS = 5.0
PUBLISH_LAST_SECONDS = 300.0


class Post(Protocol):
    """The part of the outbox that a reconcile needs; absent when there is no NATS."""

    async def publish(self, messages: tuple[Message, ...]) -> bool:
        """Say whether NATS has all messages."""

    async def fetch_result(self, task_id: str, sha256: str) -> AgentResult | None:
        """Return that result, if NATS has it."""


@dataclass
class Memory:
    """What is remembered of one task between plans."""

    uid: str
    created: str = ""
    refusal: Refusal | None = None
    publications: dict[str, Publication] = field(default_factory=dict)
    failures: int = 0
    """Publications that failed, in a row."""
    due: tuple[str, datetime] | None = None
    """Which status write is due, and since when."""
    notes: tuple[Note, ...] = ()
    notes_of: tuple[str, datetime] | None = None
    result: tuple[str, AgentResult | None] | None = None


class Reconciler:
    """Works on one task at a time per worker; the queue keeps workers apart."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        queue: WorkQueue,
        post: Post | None,
        defaults: Defaults,
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._queue = queue
        self._post = post
        self._defaults = defaults
        self._clock = clock
        self._memories: dict[Key, Memory] = {}
        self._labels: dict[str, tuple[datetime, dict[str, str]]] = {}

    async def reconcile(self, key: Key) -> None:
        """Do what is due for one task; raises ClusterError when that must wait."""
        for _ in range(MAX_ROUNDS):
            facts = await self._gather(key)
            if facts is None:
                self._forget(key)
                return
            actions = plan(facts, self._clock())
            if not actions and self._is_done(facts.task):
                self._finish(facts.task)
                return
            if not await self._act(facts.task, actions):
                return
        log.error("a task does not come to rest", extra=_who(key))
        self._queue.add_after(key, 30.0)

    def retry_publications(self) -> None:
        """Try again at once whatever NATS did not take."""
        for key, memory in self._memories.items():
            failed = [i for i, p in memory.publications.items() if not p.done]
            for identifier in failed:
                del memory.publications[identifier]
            if failed:
                self._queue.add(key)

    def forget(self, key: Key) -> None:
        """Forget a task that is deleted."""
        self._cache.drop_task(key)
        self._forget(key)

    # Gathering.

    async def _gather(self, key: Key) -> Facts | None:
        task = self._cache.tasks.get(key)
        if not task:
            return None
        memory = self._memory(task)
        facts = self._known(task, memory)
        if missing_jobs(facts, self._clock()):
            await self._confirm(task, missing_jobs(facts, self._clock()))
            facts = self._known(task, memory)
        if wants_namespace(facts):
            labels = await self._namespace_labels(key.namespace)
            facts = replace(facts, namespace_labels=labels)
        facts = replace(facts, notes=await self._notes(facts, memory))
        return replace(facts, result=await self._result(facts, memory))

    def _known(self, task: Task, memory: Memory) -> Facts:
        return Facts(
            task=task,
            defaults=self._defaults,
            classes=self._cache.classes,
            jobs=self._cache.jobs_of(task.uid),
            pods=self._cache.pods_of(task.uid),
            created=memory.created,
            refusal=memory.refusal,
            publications=memory.publications,
        )

    async def _confirm(self, task: Task, missing: tuple[str, ...]) -> None:
        """Ask the API server itself before a Job and its pods are taken for gone."""
        for name in missing:
            try:
                found = await self._cluster.get(JOBS, name, task.key.namespace)
            except NotFound:
                continue
            job = parse_job(found)
            if job.task_uid == task.uid:
                self._cache.put_job(job, force=True)
        selector = f"{names.LABEL_TASK_UID}={task.uid}"
        async for page in self._cluster.pages(PODS, task.key.namespace, selector):
            for item in page.items:
                self._cache.put_pod(parse_pod(item))

    async def _namespace_labels(self, namespace: str) -> dict[str, str]:
        known = self._labels.get(namespace)
        if known and known[0] > self._clock():
            return known[1]
        found = await self._cluster.get(NAMESPACES, namespace)
        labels = dict(found["metadata"].get("labels") or {})
        self._labels[namespace] = (self._clock() + timedelta(seconds=LABELS_SECONDS), labels)
        return labels

    async def _notes(self, facts: Facts, memory: Memory) -> tuple[Note, ...]:
        subject = wants_notes(facts, self._clock())
        if not subject:
            return ()
        fresh = memory.notes_of and memory.notes_of[1] > self._clock()
        if not (fresh and memory.notes_of and memory.notes_of[0] == subject.uid):
            found = await self._cluster.list_events_for(subject.key.namespace, subject.uid)
            memory.notes = parse_notes(found)
            memory.notes_of = (subject.uid, self._clock() + timedelta(seconds=NOTES_SECONDS))
        return memory.notes

    async def _result(self, facts: Facts, memory: Memory) -> AgentResult | None:
        wanted = wants_result(facts, self._clock())
        if not wanted or not self._post:
            return None
        sha256 = wanted[1]
        if not memory.result or memory.result[0] != sha256 or not memory.result[1]:
            found = await self._post.fetch_result(facts.task.task_id, sha256)
            memory.result = (sha256, found)
        return memory.result[1]

    # Acting.

    async def _act(self, task: Task, actions: tuple[Action, ...]) -> bool:
        """Do the actions in order; say whether the facts have changed by it."""
        changed = False
        for action in actions:
            match action:
                case CreateJob():
                    changed |= await self._create(task, action)
                case DeleteJob():
                    await self._delete(task, action)
                case PatchStatus():
                    changed |= await self._write(task, action)
                case Publish():
                    changed |= await self._publish(task, action)
                case EmitEvent():
                    await self._emit(task, action)
                case Requeue():
                    self._queue.add_after(task.key, action.seconds)
        return changed

    async def _create(self, task: Task, action: CreateJob) -> bool:
        memory, name = self._memory(task), action.manifest["metadata"]["name"]
        memory.refusal = None
        try:
            created = await self._cluster.create_job(action.manifest)
        except Conflict:
            return await self._adopt(task, name)
        except (Forbidden, Refused, NotFound) as error:
            memory.refusal = Refusal(str(error), self._clock())
            log.warning("the Job was refused: %s", error, extra=_who(task.key))
            return True
        memory.created = name
        self._cache.put_job(parse_job(created))
        log.info("created a Job", extra=_who(task.key) | {"job": name})
        return True

    async def _adopt(self, task: Task, name: str) -> bool:
        """The name is taken: by our own Job, after a crash or a late cache, or by another's."""
        try:
            job = parse_job(await self._cluster.get(JOBS, name, task.key.namespace))
        except NotFound:
            return True
        if job.task_uid == task.uid:
            self._memory(task).created = name
            self._cache.put_job(job, force=True)
        else:
            self._memory(task).refusal = Refusal("", self._clock(), conflict=True)
        return True

    async def _delete(self, task: Task, action: DeleteJob) -> None:
        job = action.job
        await self._cluster.delete_job(job.key.namespace, job.key.name, job.uid)
        log.info("deleted a Job", extra=_who(task.key) | {"job": job.key.name})

    async def _write(self, task: Task, action: PatchStatus) -> bool:
        memory = self._memory(task)
        wait = self._not_yet(memory, action)
        if wait > 0:
            self._queue.add_after(task.key, wait)
            return False
        memory.due = None
        try:
            stored = await self._cluster.patch_status(
                TASKS, *task.key, task.resource_version, action.patch
            )
        except Conflict:
            return await self._read_again(task)
        except NotFound:
            self._cache.drop_task(task.key)
            return True
        self._cache.put_task(parse_task(stored, task), force=True)
        extra = _who(task.key) | {"reason": action.status.reason}
        log.info("wrote the status: %s", action.status.phase.value, extra=extra)
        if action.event:
            await self._emit(task, action.event)
        return True

    def _not_yet(self, memory: Memory, action: PatchStatus) -> float:
        """Return the seconds that a write can still wait, so that several become one."""
        if not action.delay:
            return 0.0
        blocked = meaning(Reason(action.status.reason)).kind is Kind.BLOCKING
        what = action.status.reason if blocked else "progress"
        if not memory.due or memory.due[0] != what:
            memory.due = (what, self._clock())
        return action.delay - (self._clock() - memory.due[1]).total_seconds()

    async def _read_again(self, task: Task) -> bool:
        try:
            found = await self._cluster.get(TASKS, task.key.name, task.key.namespace)
        except NotFound:
            self._cache.drop_task(task.key)
        else:
            self._cache.put_task(parse_task(found, task), force=True)
        return True

    async def _publish(self, task: Task, action: Publish) -> bool:
        memory = self._memory(task)
        done = await self._post.publish(action.messages) if self._post else False
        memory.failures = 0 if done else memory.failures + 1
        delay = min(PUBLISH_FIRST_SECONDS * 2 ** min(memory.failures, 10), PUBLISH_LAST_SECONDS)
        retry_at = None if done else self._clock() + timedelta(seconds=delay)
        memory.publications[action.terminal_id] = Publication(done, retry_at)
        return True

    async def _emit(self, task: Task, action: EmitEvent) -> None:
        try:
            await self._cluster.create_event(build_event(task, action, self._clock()))
        except ClusterError as error:
            log.warning("an Event was not created: %s", error, extra=_who(task.key))

    # Remembering.

    def _memory(self, task: Task) -> Memory:
        memory = self._memories.get(task.key)
        if not memory or memory.uid != task.uid:
            memory = self._memories[task.key] = Memory(task.uid)
        return memory

    def _is_done(self, task: Task) -> bool:
        return is_final(task.status) and task.status.observed_generation == task.generation

    def _finish(self, task: Task) -> None:
        self._cache.finish_task(task)
        self._forget(task.key)

    def _forget(self, key: Key) -> None:
        self._memories.pop(key, None)
        self._queue.forget(key)


def _who(key: Key) -> dict[str, str]:
    return {"namespace": key.namespace, "task": key.name}
