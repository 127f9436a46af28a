"""Kill the operator just before and just after every step of every scenario.

A scenario is a list of things that happen to a task. It is played once in peace, with every
write, Event and message recorded; then once for each of them and each side of it, with a
crash there and a new process that starts from nothing. The world must end the same: one
Job for each run, no end of a run lost, none with another content.
"""

from collections.abc import Callable
from typing import Any

import pytest
from tests.operator.builders import (
    UID,
    class_object,
    dead,
    digest,
    pod_object,
    running,
    task_object,
    waiting,
)
from tests.operator.fakecluster import Crash, FakeCluster
from tests.operator.fakeledger import FakeLedger
from tests.operator.test_reconcile import KEY, Post, Process

from agenttask_api import names
from agenttask_operator.cluster import CLASSES, JOBS, PODS, TASKS
from agenttask_operator.errors import Forbidden
from agenttask_operator.observed import parse_class

Step = Callable[["Scene"], None]
ROUNDS, SECONDS = 4, 8.0
"""After each step the operator works so often, so many seconds apart."""


class Told(Post):
    """NATS whose every message is a step too; it keeps each message once, as streams do."""

    def __init__(self, cluster):
        super().__init__()
        self.cluster = cluster
        self.kept: dict[str, bytes] = {}

    async def publish(self, messages):
        for message in messages if self.up else ():
            self.cluster.before("message")
            identifier = dict(message.headers)["Nats-Msg-Id"]
            self.kept.setdefault(identifier, message.payload)
            self.cluster.after()
        return self.up


class Scene:
    """One task, its cluster, its NATS, and the operator process of the moment."""

    def __init__(self, **spec: Any) -> None:
        self.cluster = FakeCluster()
        self.post = Told(self.cluster)
        self.ledger = FakeLedger(self.cluster)
        self.spec = spec
        self.cluster.put(TASKS, task_object(**spec))
        self.cluster.put(CLASSES, class_object())
        self.crashes = 0
        self.process = self.begin()

    def begin(self) -> Process:
        process = Process(self.cluster, self.post, self.ledger)
        process.cache.classes.clear()
        return process

    async def work(self, seconds: float = SECONDS) -> None:
        for obj in self.cluster.all(CLASSES):
            self.process.cache.classes[obj["metadata"]["name"]] = parse_class(obj)
        try:
            await self.process.work(seconds)
        except Crash:
            self.crashes += 1
            now, self.process = self.process.now, self.begin()
            self.process.now = now
            await self.work(0.0)

    async def play(self, steps: list[Step]) -> None:
        for step in [nothing, *steps]:
            step(self)
            for _ in range(ROUNDS):
                await self.work()

    def change(self, **spec: Any) -> None:
        task = self.cluster.task
        task["spec"] |= spec
        task["metadata"]["generation"] += 1
        self.cluster.put(TASKS, task)

    def put_pod(self, pod: dict[str, Any]) -> None:
        """The pod is of the task object that is there now."""
        pod["metadata"]["labels"][names.LABEL_TASK_UID] = self.cluster.task["metadata"]["uid"]
        self.cluster.put(PODS, pod)

    def world(self) -> object:
        """Return what must be the same with and without a crash."""
        status = self.cluster.status
        jobs = sorted(j["metadata"]["name"] for j in self.cluster.all(JOBS))
        history = [r["reason"] for r in status.get("runs", [])]
        conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
        waiting = status.get("outbox", {}).get("pending", [])
        return status["phase"], status["reason"], history, jobs, conditions, waiting

    def records(self) -> dict[str, object]:
        """Return what the ledger holds: of each run whose object, and how it ended."""
        return {
            key: (entry.uid, entry.outcome and entry.outcome.reason)
            for key, (entry, _) in self.ledger.entries.items()
        }

    def ends(self) -> set[str]:
        """Return the terminal events; a pod that vanished unseen leaves no result to send."""
        return {i for i in self.post.kept if i.endswith("/terminal")}


def nothing(_: Scene) -> None:
    """Time passes."""


def pod(*containers: Any, **more: Any) -> Step:
    """The kubelet says this of the pod, if there is a Job for it."""

    def step(scene: Scene) -> None:
        jobs = scene.cluster.all(JOBS)
        if jobs:
            key = jobs[-1]["metadata"]["labels"][names.LABEL_RUN_KEY]
            scene.put_pod(pod_object(*containers, key=key, **more))

    return step


def finish(scene: Scene, kind: str) -> None:
    """The Job controller sees that the newest Job's pod has ended."""
    for job in scene.cluster.all(JOBS)[-1:]:
        job["status"] = {"conditions": [{"type": kind, "status": "True"}]}
        scene.cluster.put(JOBS, job)


def fails(*containers: Any) -> Step:
    """The pod fails, and with it the Job, as its podFailurePolicy says."""
    said = pod(*containers, phase="Failed")

    def step(scene: Scene) -> None:
        said(scene)
        finish(scene, "Failed")

    return step


def well(scene: Scene) -> None:
    """The newest run ends well."""
    for job in scene.cluster.all(JOBS)[-1:]:
        key = job["metadata"]["labels"][names.LABEL_RUN_KEY]
        over = [dead(names.COURIER, 0, digest(run_key=key)), dead(names.AGENT, 0)]
        name = f"fix-{key}"
        scene.put_pod(pod_object(*over, phase="Succeeded", key=key, name=name))
    finish(scene, "Complete")


def change(**spec: Any) -> Step:
    return lambda scene: scene.change(**spec)


def robbed(scene: Scene) -> None:
    """Somebody deletes Job and pods."""
    for kind in (JOBS, PODS):
        for obj in scene.cluster.all(kind):
            metadata = obj["metadata"]
            del scene.cluster.objects[kind.plural, metadata["namespace"], metadata["name"]]


def refuse(scene: Scene) -> None:
    robbed(scene)
    scene.cluster.refuse_jobs = Forbidden("exceeded quota: pods")


def allow(scene: Scene) -> None:
    scene.cluster.refuse_jobs = None


def nats(up: bool) -> Step:
    def step(scene: Scene) -> None:
        scene.post.up = scene.ledger.up = up
        scene.process.reconciler.retry_publications()

    return step


def applied_again(scene: Scene) -> None:
    """The task is deleted, with all that it owns, and applied again as it was."""
    scene.process.reconciler.forget(KEY)
    robbed(scene)
    fresh = task_object(**scene.spec)
    fresh["metadata"]["uid"] = f"{UID[:-1]}{len(scene.spec) + 2}"
    scene.cluster.put(TASKS, fresh)


def no_class(scene: Scene) -> None:
    scene.cluster.objects.pop((CLASSES.plural, "", "standard"), None)
    scene.process.cache.classes.clear()


def new_class(scene: Scene) -> None:
    scene.cluster.put(CLASSES, class_object())


AT_WORK = pod(running(names.AGENT), phase="Running")
KILLED = fails(dead(names.AGENT, 137, reason="OOMKilled"))
NO_IMAGE = pod(waiting(names.AGENT, "ImagePullBackOff", "no such image"))
REFUSED = fails(dead(names.CLONE, 1, "no such host"))
DISRUPTED = pod(
    running(names.AGENT),
    phase="Failed",
    conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
)

HELD: dict[str, Any] = {"suspend": True}
START_SOON: dict[str, Any] = {"limits": {"startDeadlineSeconds": 40}}

SCENARIOS: dict[str, tuple[str, dict[str, Any], list[Step]]] = {
    "ends well": ("Completed", {}, [AT_WORK, well]),
    "ends well while NATS is down": ("Completed", {}, [AT_WORK, nats(False), well, nats(True)]),
    "runs out of memory": ("OOMKilled", {}, [AT_WORK, KILLED]),
    "cannot clone": ("CloneFailed", {}, [REFUSED]),
    "finds no image": ("StartDeadlineExceeded", START_SOON, [NO_IMAGE, nothing, nothing]),
    "never starts": ("StartDeadlineExceeded", START_SOON, [nothing, nothing]),
    "is cancelled at work": ("Cancelled", {}, [AT_WORK, change(cancel=True)]),
    "is cancelled before it starts": ("Cancelled", HELD, [change(cancel=True)]),
    "is held and let go": ("Completed", HELD, [change(suspend=False), AT_WORK, well]),
    "runs again while at work": ("Completed", {}, [AT_WORK, change(runID="2"), AT_WORK, well]),
    "runs again after its end": (
        "Completed",
        {},
        [AT_WORK, well, change(runID="2"), AT_WORK, well],
    ),
    "runs three times": (
        "Completed",
        {},
        [well, change(runID="2"), well, change(runID="3"), well],
    ),
    "runs again while NATS is down": (
        "Completed",
        {},
        [AT_WORK, nats(False), change(runID="2"), AT_WORK, well, nats(True)],
    ),
    "ends well and is applied again": ("Completed", {}, [AT_WORK, well, applied_again]),
    "ends badly and is applied again": ("OOMKilled", {}, [AT_WORK, KILLED, applied_again]),
    "is applied again at work": ("RunInterrupted", {}, [AT_WORK, applied_again]),
    "is refused and applied again": (
        "Completed",
        HELD,
        [refuse, change(suspend=False), applied_again, allow, nothing, nothing]
        + [change(suspend=False), AT_WORK, well],
    ),
    "begins while the ledger is away": (
        "Completed",
        HELD,
        [nats(False), change(suspend=False), AT_WORK, nats(True), well],
    ),
    "loses its Job": ("JobLost", {}, [AT_WORK, robbed]),
    "asks for too much": ("InvalidSpec", {"toolchain": "none"}, [nothing]),
    "sets what nobody honours": ("NotImplemented", {"agents": {"count": 3}}, [nothing]),
    "is disrupted": ("Completed", {}, [AT_WORK, DISRUPTED, well]),
    "waits for its class": (
        "Completed",
        HELD | {"className": "standard"},
        [no_class, change(suspend=False), new_class, AT_WORK, well],
    ),
    "waits for quota": (
        "Completed",
        HELD,
        [refuse, change(suspend=False), nothing, allow, nothing, nothing, AT_WORK, well],
    ),
}


async def played(name: str, side: str = "", step: int = 0) -> Scene:
    _, spec, steps = SCENARIOS[name]
    scene = Scene(**spec)
    if side:
        setattr(scene.cluster, side, step)
    await scene.play(steps)
    return scene


@pytest.mark.parametrize("name", SCENARIOS)
async def test_crash_at_any_step_changes_nothing(name: str) -> None:
    calm = await played(name)
    assert calm.cluster.status["reason"] == SCENARIOS[name][0]
    for step, what in enumerate(calm.cluster.steps, 1):
        for side in ("fail_before", "fail_after"):
            scene = await played(name, side, step)
            where = f"{side} of step {step}, {what}"
            assert scene.crashes == 1, where
            assert scene.world() == calm.world(), where
            assert scene.ends() == calm.ends(), where
            assert scene.records() == calm.records(), where
            assert len(scene.cluster.all(JOBS)) == len(calm.cluster.all(JOBS)), where


async def test_matrix_is_as_large_as_it_is_said_to_be() -> None:
    steps = [len((await played(name)).cluster.steps) for name in SCENARIOS]
    assert len(SCENARIOS) >= 12
    assert 2 * sum(steps) >= 150
