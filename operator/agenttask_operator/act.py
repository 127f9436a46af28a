"""Do what a plan says: each action through the cluster's adapter or the outbox.

Every action is safe to repeat, and none is begun by a process that may not act: one that
was stopped for a while may have been replaced without knowing it.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from agenttask_api.reasons import Kind, Reason, meaning
from agenttask_operator.actions import (
    Action,
    ApplyPolicy,
    CreateJob,
    DeleteJob,
    DeletePod,
    EmitEvent,
    PatchStatus,
    Publish,
    Record,
    Requeue,
)
from agenttask_operator.cache import Cache
from agenttask_operator.cluster import Cluster
from agenttask_operator.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    Unavailable,
)
from agenttask_operator.facts import Publication, Recorded, Refusal
from agenttask_operator.kinds import JOBS, POLICIES, TASKS, Object
from agenttask_operator.kubeevents import build_event
from agenttask_operator.memory import Memories, Memory
from agenttask_operator.messages import Message
from agenttask_operator.observed import Key, Task, parse_job, parse_task
from agenttask_operator.queue import WorkQueue
from agenttask_operator.quotes import manifest_texts, without_values
from agenttask_operator.status import is_final

log = logging.getLogger(__name__)

PUBLISH_FIRST_SECONDS = 5.0
PUBLISH_LAST_SECONDS = 300.0


class Publisher(Protocol):
    """The part of the outbox that acting needs."""

    async def publish(self, messages: tuple[Message, ...]) -> bool:
        """Say whether NATS has all messages."""


class Recorder(Protocol):
    """The part of the run-once ledger that acting needs."""

    async def begin(self, record: Record) -> Recorded:
        """Write the entry where there is none; return the one that is there then."""

    async def mark_created(self, known: Recorded) -> Recorded:
        """Write down that the Job exists."""

    async def withdraw(self, known: Recorded) -> Recorded:
        """Remove the entry of a run whose Job was refused."""

    async def finish(self, record: Record) -> bool:
        """Say whether the ledger has the outcome."""


class Actor:
    """Executes actions."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        queue: WorkQueue,
        memories: Memories,
        post: Publisher | None,
        clock: Callable[[], datetime],
        ledger: Recorder | None = None,
    ) -> None:
        self._ledger = ledger
        self._cluster = cluster
        self._cache = cache
        self._queue = queue
        self._memories = memories
        self._post = post
        self._clock = clock
        self._applied: dict[tuple[str, str], Object] = {}
        """Policies as this process wrote them last."""
        self.may_act: Callable[[], bool] = lambda: True
        """Asked before every action; a process that does not lead may do nothing."""
        self.on_end: Callable[[Task], None] = lambda *_: None
        """Told of every task whose end was written, with its final status."""
        self.announce: Callable[[Object], Awaitable[None]] = cluster.create_event
        """Given every Event; it may fail or be late, which holds nothing up."""

    async def act(self, task: Task, actions: tuple[Action, ...]) -> bool:
        """Do the actions in order; say whether the facts have changed by it."""
        changed = False
        for action in actions:
            if not self.may_act():
                raise Unavailable("this process does not lead (any longer)")
            done = await self._do(task, action)
            changed |= done
            if done and isinstance(action, ApplyPolicy):
                break
        return changed

    async def _do(self, task: Task, action: Action) -> bool:
        match action:
            case ApplyPolicy():
                return await self._apply(task, action)
            case CreateJob():
                return await self._create(task, action)
            case DeleteJob() | DeletePod():
                await self._delete(task, action)
            case PatchStatus():
                return await self._write(task, action)
            case Publish():
                return await self._publish(task, action)
            case EmitEvent():
                await self._emit(task, action)
            case Requeue():
                self._queue.add_after(task.key, action.seconds)
        return False

    async def _apply(self, task: Task, action: ApplyPolicy) -> bool:
        """Write the policy, unless it was; one refused holds back the Job that follows."""
        manifest = action.manifest
        at = task.key.namespace, manifest["metadata"]["name"]
        if self._applied.get(at) == manifest:
            return False
        try:
            await self._cluster.apply(POLICIES, manifest)
        except (Forbidden, Refused, NotFound) as error:
            words = f"its NetworkPolicy was refused: {error}"
            self._memories.of(task).refusal = Refusal(words, self._clock())
            return True
        self._applied[at] = manifest
        return False

    async def _create(self, task: Task, action: CreateJob) -> bool:
        memory, name = self._memories.of(task), action.manifest["metadata"]["name"]
        memory.refusal = None
        if action.record and not await self._begin(memory, action.record):
            return True
        try:
            created = await self._cluster.create_job(action.manifest)
        except Conflict:
            adopted = await self._adopt(task, name)
            if memory.refusal:
                await self._withdraw(memory)
            return adopted
        except (Forbidden, Refused, NotFound) as error:
            words = without_values(str(error), manifest_texts(action.manifest))
            memory.refusal = Refusal(words, self._clock())
            extra = _who(task.key) | {"reason": type(error).__name__}
            log.warning("the Job was refused", extra=extra)
            await self._withdraw(memory)
            return True
        memory.created = name
        self._cache.put_job(parse_job(created))
        log.info("created a Job", extra=_who(task.key) | {"job": name})
        await self._mark(memory)
        return True

    async def _begin(self, memory: Memory, record: Record) -> bool:
        """Write down that a run begins; what the ledger says instead is a fact of the next plan."""
        assert self._ledger
        found = await self._ledger.begin(record)
        memory.recorded = (record.entry.run_key, found)
        entry = found.entry
        return bool(entry and entry.uid == record.entry.uid and not entry.outcome)

    async def _mark(self, memory: Memory) -> None:
        if self._ledger and memory.recorded and memory.recorded[1].entry:
            run_key, known = memory.recorded
            found = await self._ledger.mark_created(known)
            memory.recorded = (run_key, found)

    async def _withdraw(self, memory: Memory) -> None:
        """A Job that was refused never was: applied again, the task may yet run."""
        if self._ledger and memory.recorded and memory.recorded[1].entry:
            run_key, known = memory.recorded
            found = await self._ledger.withdraw(known)
            memory.recorded = (run_key, found)

    async def _adopt(self, task: Task, name: str) -> bool:
        """The name is taken: by our own Job, after a crash or a late cache, or by another's."""
        try:
            job = parse_job(await self._cluster.get(JOBS, name, task.key.namespace))
        except NotFound:
            return True
        if job.task_uid == task.uid:
            self._memories.of(task).created = name
            self._cache.put_job(job, force=True)
        else:
            self._memories.of(task).refusal = Refusal("", self._clock(), conflict=True)
        return True

    async def _delete(self, task: Task, action: DeleteJob | DeletePod) -> None:
        if isinstance(action, DeleteJob):
            await self._cluster.delete_job(*action.job.key, action.job.uid)
            log.info("deleted a Job", extra=_who(task.key) | {"job": action.job.key.name})
        else:
            await self._cluster.delete_pod(*action.pod.key, action.pod.uid)
            log.info("deleted a pod", extra=_who(task.key) | {"pod": action.pod.key.name})

    async def _write(self, task: Task, action: PatchStatus) -> bool:
        memory = self._memories.of(task)
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
        written = parse_task(stored, task)
        self._cache.put_task(written, force=True)
        if is_final(action.status) and not (is_final(task.status) and _same_run(task, written)):
            self.on_end(written)
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
        memory = self._memories.of(task)
        done = await self.tell(action)
        self._note_unsent(task, memory, action, done)
        memory.failures = 0 if done else memory.failures + 1
        delay = min(PUBLISH_FIRST_SECONDS * 2 ** min(memory.failures, 10), PUBLISH_LAST_SECONDS)
        retry_at = None if done else self._clock() + timedelta(seconds=delay)
        memory.publications[action.terminal_id] = Publication(done, retry_at)
        memory.unpublished_since = None if done else memory.unpublished_since or self._clock()
        return True

    async def tell(self, end: Publish) -> bool:
        """Say whether NATS has the end of a run; a process that does not lead says nothing."""
        done = await self._post.publish(end.messages) if self._post and self.may_act() else False
        if done and end.record and self._ledger:
            done = await self._ledger.finish(end.record)
        return done

    def _note_unsent(self, task: Task, memory: Memory, end: Publish, done: bool) -> None:
        """A task deleted while its end was on the way is no longer remembered."""
        if done:
            memory.unsent.pop(end.terminal_id, None)
        elif self._memories.get(task.key) is memory:
            memory.unsent[end.terminal_id] = end
        else:
            self._memories.orphans.keep([end])

    async def _emit(self, task: Task, action: EmitEvent) -> None:
        try:
            await self.announce(build_event(task, action, self._clock()))
        except ClusterError as error:
            extra = _who(task.key) | {"reason": type(error).__name__}
            log.warning("an Event was not created", extra=extra)


def _same_run(old: Task, new: Task) -> bool:
    return bool(old.status.run and new.status.run and old.status.run.key == new.status.run.key)


def _who(key: Key) -> dict[str, str]:
    return {"namespace": key.namespace, "task": key.name}
