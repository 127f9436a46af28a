"""Many tasks, the real outbox and ledger on a real nats-server, and a cluster in a dictionary."""

import asyncio
import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.operator.builders import NOW, class_object, pod_object, run_key, task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import Timer
from tests.servers.nats import NatsServer

import nats
from agenttask_api import names
from agenttask_api.agentclass import AgentClassSpec
from agenttask_api.spec import AgentTaskSpec
from agenttask_api.taskdocument import TaskIdentity
from agenttask_courier.places import Places
from agenttask_courier.publish import Publisher
from agenttask_courier.settings import Settings
from agenttask_operator.admission import grant
from agenttask_operator.cache import Cache
from agenttask_operator.facts import Defaults
from agenttask_operator.kinds import JOBS, PODS, TASKS
from agenttask_operator.ledger import Ledger
from agenttask_operator.observed import Key, parse_class, parse_job, parse_pod, parse_task
from agenttask_operator.outbox import Outbox
from agenttask_operator.queue import WorkQueue
from agenttask_operator.reconcile import Reconciler
from agenttask_operator.status import is_final
from agenttask_operator.taskdoc import build_document

SPEC = AgentTaskSpec.model_validate(task_object()["spec"])
CLASS = AgentClassSpec.model_validate(class_object()["spec"])


def uid_of(name: str) -> str:
    return f"uid-{name}"


def key_of(name: str) -> Key:
    return Key("team", name)


class Operator:
    """One operator process; what it remembers dies with it."""

    def __init__(self, cluster: Any, url: str) -> None:
        self.cluster, self.now = cluster, NOW
        self.cache = Cache()
        self.outbox = Outbox(url)
        defaults = Defaults("agent:dev", url)
        queue = WorkQueue(lambda _seconds, _function: Timer())
        self.reconciler = Reconciler(
            cluster,
            self.cache,
            queue,
            self.outbox,
            defaults,
            lambda: self.now,
            ledger=Ledger(self.outbox),
        )
        self.cache.classes["standard"] = parse_class(class_object())

    async def work(self, *names_: str) -> None:
        """Look at everything and reconcile these tasks, a minute later than before."""
        self.now += timedelta(seconds=60)
        for obj in self.cluster.all(TASKS):
            self.cache.put_task(parse_task(obj))
        version = self.cluster.version
        self.cache.replace_jobs([parse_job(o) for o in self.cluster.all(JOBS)], version)
        self.cache.replace_pods([parse_pod(o) for o in self.cluster.all(PODS)], version)
        self.reconciler.retry_publications()
        for name in names_:
            await self.reconciler.reconcile(key_of(name))


class World:
    """The cluster and NATS; operators and couriers come and go."""

    def __init__(self, server: NatsServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.cluster = FakeCluster()
        self.couriers: dict[str, Publisher] = {}

    async def operator(self) -> Operator:
        operator = Operator(self.cluster, self.server.url)
        operator.outbox.start()
        return operator

    def add(self, *names_: str) -> None:
        for name in names_:
            obj = task_object()
            obj["metadata"] |= {"name": name, "uid": uid_of(name)}
            self.cluster.put(TASKS, obj)

    def courier(self, name: str) -> Publisher:
        """Begin the courier of a task's pod: its agent has attached."""
        courier = start_courier(self.server.url, self.folder, name)
        self.couriers[name] = courier
        return courier

    def pod(self, name: str, *containers: dict[str, Any], **more: Any) -> None:
        obj = pod_object(*copy.deepcopy(containers), name=f"{name}-1", **more)
        obj["metadata"]["labels"] |= {names.LABEL_TASK: name, names.LABEL_TASK_UID: uid_of(name)}
        self.cluster.put(PODS, obj)

    def job_ends(self, name: str, how: str) -> None:
        job = self.job(name)
        job["status"] = {"conditions": [{"type": how, "status": "True"}]}
        self.cluster.put(JOBS, job)

    def job(self, name: str) -> dict[str, Any]:
        (found,) = [
            j
            for j in self.cluster.all(JOBS)
            if j["metadata"]["labels"][names.LABEL_TASK_UID] == uid_of(name)
        ]
        return dict(found)

    def lose(self, name: str) -> None:
        """Job and pod vanish, unseen."""
        job = self.job(name)["metadata"]["name"]
        self.cluster.objects.pop((JOBS.plural, "team", job))
        self.cluster.objects.pop((PODS.plural, "team", f"{name}-1"), None)

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.cluster.objects[TASKS.plural, "team", name]["status"])

    def over(self, name: str) -> bool:
        """The end is written, and NATS has it."""
        task = parse_task(self.cluster.objects[TASKS.plural, "team", name])
        found = {c.type: c.status for c in task.status.conditions}
        return is_final(task.status) and found.get("EventsPublished") == "True"


def start_courier(url: str, folder: Path, name: str) -> Publisher:
    """Return a courier that has told of its start and its first step."""
    identity = TaskIdentity(
        namespace="team", name=name, uid=uid_of(name), run_id="1", run_key=run_key()
    )
    document = build_document(identity, SPEC.prompt or "", SPEC, CLASS, grant(SPEC, CLASS))
    settings = Settings("http://x", url, pod_uid=f"pod-{name}-1")
    courier = Publisher(settings, document, Places.below(folder))
    courier.start()
    courier.event("started", "Running")
    courier.event("progress", "1")
    return courier


async def subjects(server: NatsServer) -> dict[str, list[tuple[str, str]]]:
    """Return what the stream of events holds by task: kind and message id, in order."""
    client = await nats.connect(server.url)
    found: dict[str, list[tuple[str, str]]] = {}
    try:
        jetstream = client.jetstream()
        state = (await jetstream.stream_info("AGENT_RESPONSES")).state
        for number in range(state.first_seq, state.last_seq + 1):
            message = await jetstream.get_msg("AGENT_RESPONSES", number)
            assert message.subject
            assert message.headers
            _, _, kind, _, task = message.subject.split(".")
            found.setdefault(task, []).append((kind, message.headers["Nats-Msg-Id"]))
    finally:
        await client.close()
    return found


async def until_over(world: World, operator: Operator, *names_: str, rounds: int = 60) -> None:
    """Work until every task's end is told."""
    for _ in range(rounds):
        await operator.work(*(n for n in names_ if not world.over(n)))
        if all(world.over(n) for n in names_):
            return
        await asyncio.sleep(0.2)
    raise AssertionError({n: world.status(n) for n in names_ if not world.over(n)})


__all__ = ["Operator", "World", "start_courier", "subjects", "until_over"]
