"""Gather the facts that a plan is made from: the cache, and what only a question can tell."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from agenttask_api import names
from agenttask_api.contextrecord import ContextRecord
from agenttask_api.ledger import entry_key
from agenttask_api.result import AgentResult
from agenttask_operator.blockers import Note, parse_notes
from agenttask_operator.cache import Cache
from agenttask_operator.cluster import Cluster
from agenttask_operator.contextrecords import build_record
from agenttask_operator.errors import Forbidden, NotFound, StoreUnavailable
from agenttask_operator.facts import ConfigMap, Defaults, Facts, Recorded, Reference, Standing
from agenttask_operator.kinds import CONFIG_MAPS, JOBS, NAMESPACES, PODS, TASKS
from agenttask_operator.memory import Memories, Memory, Waiters
from agenttask_operator.needs import (
    missing_jobs,
    overdue_job,
    unwitnessed_job,
    wants_ledger,
    wants_namespace,
    wants_notes,
    wants_result,
)
from agenttask_operator.observed import Key, Task, parse_job, parse_pod, parse_task
from agenttask_operator.quotes import confidential_texts, manifest_texts, without_values
from agenttask_operator.ration import Ration
from agenttask_operator.references import wanted_config_maps, wanted_tasks
from agenttask_operator.status import is_final

NOTES_SECONDS = 3.0
LABELS_SECONDS = 60.0


class Results(Protocol):
    """The part of the outbox that gathering needs."""

    async def fetch_result(self, task_id: str, sha256: str) -> AgentResult | None:
        """Return that result, if NATS has it."""

    async def fetch_record(self, cluster_id: str, key: Key) -> ContextRecord | None:
        """Return what a task left; raises StoreUnavailable."""


class Book(Protocol):
    """The part of the run-once ledger that gathering needs."""

    async def read(self, key: str) -> Recorded:
        """Return what the ledger holds."""


class Gatherer:
    """Gathers the facts about one task at a time; it changes nothing but the cache."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        memories: Memories,
        results: Results | None,
        defaults: Defaults,
        clock: Callable[[], datetime],
        ledger: Book | None = None,
    ) -> None:
        self._ledger = ledger
        self._cluster = cluster
        self._cache = cache
        self._memories = memories
        self._results = results
        self._defaults = defaults
        self._clock = clock
        self.waiters = Waiters()
        self._ration = Ration()
        self._labels: dict[str, tuple[datetime, dict[str, str]]] = {}

    async def gather(self, key: Key) -> Facts | None:
        """Return the facts; None = there is no such task. Raises ClusterError."""
        task = self._cache.tasks.get(key)
        if not task:
            return None
        memory = self._memories.of(task)
        facts = self._known(task, memory)
        if await self._ask_ledger(facts, memory):
            facts = self._known(task, memory)
        if missing_jobs(facts, self._clock()):
            await self._confirm(task, missing_jobs(facts, self._clock()))
            facts = self._known(task, memory)
        late = overdue_job(facts, self._clock())
        if late:
            await self._confirm(task, (late.key.name,))
            facts = self._known(task, memory)
        job = unwitnessed_job(facts, self._clock())
        if job and memory.witnessed != job.resource_version:
            await self._read_pods(task)
            memory.witnessed = job.resource_version
            facts = self._known(task, memory)
        if wants_namespace(facts):
            labels = await self._namespace_labels(key.namespace)
            facts = replace(facts, namespace_labels=labels)
        facts = replace(facts, references=await self._references(facts))
        facts = replace(facts, config_maps=await self._config_maps(facts))
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
            recorded=_recorded(task, memory),
        )

    async def _ask_ledger(self, facts: Facts, memory: Memory) -> bool:
        """Ask once for each run; a ledger that was away is asked again."""
        run_key = wants_ledger(facts, self._clock()) if self._ledger else None
        if not run_key or not self._ledger:
            return False
        if memory.recorded and memory.recorded[0] == run_key and memory.recorded[1].reachable:
            return False
        key = entry_key(self._defaults.cluster_id, *facts.task.key, run_key)
        memory.recorded = (run_key, await self._ledger.read(key))
        return True

    async def _confirm(self, task: Task, wanted: tuple[str, ...]) -> None:
        """Ask the API server itself before a Job and its pods are taken for gone, or for late."""
        for name in wanted:
            try:
                found = await self._cluster.get(JOBS, name, task.key.namespace)
            except NotFound:
                self._cache.drop_job(Key(task.key.namespace, name))
                continue
            job = parse_job(found)
            if job.task_uid == task.uid:
                self._cache.put_job(job, force=True)
        await self._read_pods(task)

    async def _read_pods(self, task: Task) -> None:
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

    async def _references(self, facts: Facts) -> dict[str, Reference]:
        here = facts.task.key.namespace
        found: dict[str, Reference] = {}
        for name in wanted_tasks(facts, self._clock()):
            key = Key(here, name)
            found[name] = await self._reference(key)
            if found[name].standing is not Standing.RECORDED:
                self.waiters.add(key, facts.task.key)
        return found

    async def _config_maps(self, facts: Facts) -> dict[str, ConfigMap]:
        here = facts.task.key.namespace
        wanted = wanted_config_maps(facts, self._clock())
        return {name: await self._config_map(name, here) for name in wanted}

    async def _config_map(self, name: str, namespace: str) -> ConfigMap:
        try:
            found = await self._cluster.get(CONFIG_MAPS, name, namespace)
        except NotFound:
            return ConfigMap(found=False)
        except Forbidden as error:
            return ConfigMap(found=False, forbidden=str(error))
        return ConfigMap(found=True, data=dict(found.get("data") or {}))

    async def _reference(self, key: Key) -> Reference:
        """Ask the resource first: an older run's record must not be taken for the newest."""
        live = self._cache.tasks.get(key)
        if live and not is_final(live.status):
            return Reference(Standing.UNFINISHED)
        try:
            found = await self._cluster.get(TASKS, key.name, key.namespace)
        except NotFound:
            return await self._reference_without_resource(key)
        task = parse_task(found)
        if not is_final(task.status):
            return Reference(Standing.UNFINISHED)
        record = await self._record(key, task)
        return Reference(Standing.RECORDED, record or build_record(task, task.status, None))

    async def _record(self, key: Key, task: Task) -> ContextRecord | None:
        """Return the record of exactly the run that the status speaks of; NATS may be away."""
        if not self._results:
            return None
        try:
            record = await self._results.fetch_record(self._defaults.cluster_id, key)
        except StoreUnavailable:
            return None
        run = task.status.run
        return record if record and run and record.run_key == run.key else None

    async def _reference_without_resource(self, key: Key) -> Reference:
        if not self._results:
            return Reference(Standing.UNKNOWN)
        try:
            record = await self._results.fetch_record(self._defaults.cluster_id, key)
        except StoreUnavailable:
            return Reference(Standing.UNREADABLE)
        return Reference(Standing.RECORDED if record else Standing.UNKNOWN, record)

    async def _notes(self, facts: Facts, memory: Memory) -> tuple[Note, ...]:
        subject = wants_notes(facts, self._clock())
        if not subject:
            return ()
        fresh = memory.notes_of and memory.notes_of[1] > self._clock()
        if not (fresh and memory.notes_of and memory.notes_of[0] == subject.uid):
            where, uid = subject.key.namespace, subject.uid
            found = await self._ration.ask(lambda: self._cluster.list_events_for(where, uid))
            if found is None:
                return memory.notes if memory.notes_of and memory.notes_of[0] == uid else ()
            memory.notes = await self._unquoted(parse_notes(found), facts)
            memory.notes_of = (uid, self._clock() + timedelta(seconds=NOTES_SECONDS))
        return memory.notes

    async def _unquoted(self, notes: tuple[Note, ...], facts: Facts) -> tuple[Note, ...]:
        """Return the Events without what a refused pod held: an admission policy may quote it."""
        if not notes:
            return ()
        try:
            texts = await self._texts(facts)
        except NotFound:
            # Of a Job that has just gone nobody can say what it held.
            return ()
        return tuple(replace(n, message=without_values(n.message, texts)) for n in notes)

    async def _texts(self, facts: Facts) -> tuple[str, ...]:
        """Return what no message may quote; what the spec only refers to is in the Jobs."""
        spec = facts.task.spec
        texts = confidential_texts(spec.to_api()) if spec else ()
        if not spec or not (spec.prompt_from or spec.context_from):
            return texts
        namespace = facts.task.key.namespace
        for job in facts.jobs:
            texts += manifest_texts(await self._cluster.get(JOBS, job.key.name, namespace))
        return texts

    async def _result(self, facts: Facts, memory: Memory) -> AgentResult | None:
        wanted = wants_result(facts, self._clock())
        if not wanted or not self._results:
            return None
        sha256 = wanted[1]
        if not memory.result or memory.result[0] != sha256 or not memory.result[1]:
            found = await self._results.fetch_result(facts.task.task_id, sha256)
            memory.result = (sha256, found)
        return memory.result[1]


def _recorded(task: Task, memory: Memory) -> Recorded | None:
    asked = memory.recorded
    return asked[1] if asked and task.spec and asked[0] == task.spec.run_key() else None
