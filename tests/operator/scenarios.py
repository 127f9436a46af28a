"""What can happen to a task, as lists of steps, and how each of them must end.

A scene plays them against the API server in a dictionary. The matrices spoil the play: by
crashes (`test_crash_matrix`), by watches that are late or lose something
(`test_watch_matrix`).
"""

from collections.abc import Callable
from typing import Any

from tests.operator.builders import (
    UID,
    class_object,
    dead,
    digest,
    job_object,
    pod_object,
    running,
    task_object,
    waiting,
)
from tests.operator.fakecluster import Crash, FakeCluster
from tests.operator.fakeledger import FakeLedger
from tests.operator.test_reconcile import Post
from tests.operator.watching import Watching

from agenttask_api import names
from agenttask_operator.errors import Forbidden
from agenttask_operator.kinds import CLASSES, JOBS, PODS, TASKS
from agenttask_operator.turns import Limits

Step = Callable[["Scene"], None]
ROUNDS, SECONDS = 4, 8.0
"""After each step the operator works so often, so many seconds apart."""
STANDARD = "standard"
ONE_AT_A_TIME = Limits(total=1)
"""A place for every run, and no more, so that a place that is not given back is seen."""


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

    def __init__(self, cluster: Any = None, class_name: str = STANDARD, **spec: Any) -> None:
        self.cluster = cluster or FakeCluster()
        self.post = Told(self.cluster)
        self.ledger = FakeLedger(self.cluster)
        self.spec = spec
        self.cluster.put(TASKS, task_object(**spec))
        self.cluster.put(CLASSES, class_object(class_name, default=class_name == STANDARD))
        self.crashes = 0
        self.process: Watching | None = None

    @property
    def operator(self) -> Watching:
        assert self.process
        return self.process

    async def work(self, seconds: float = SECONDS) -> None:
        try:
            if not self.process:
                await self.begin()
            await self.operator.work(seconds)
        except Crash:
            self.crashes += 1
            now, self.process = self.operator.now, None
            await self.begin()
            self.operator.now = now
            await self.work(0.0)

    async def begin(self) -> None:
        """Start a process, which lists everything before it works."""
        self.process = Watching(self.cluster, self.post, ONE_AT_A_TIME, ledger=self.ledger)
        self.process.now = self.cluster.begun
        await self.process.resync()

    async def play(self, steps: list[Step]) -> None:
        for number, step in enumerate([nothing, *steps]):
            await self.take(number, step)

    async def take(self, _number: int, step: Step) -> None:
        """Let one thing happen, and the operator work for a while."""
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

    def records(self) -> dict[str, object]:
        """Return what the ledger holds: of each run whose object, and how it ended."""
        return {
            key: (entry.uid, entry.outcome and entry.outcome.reason)
            for key, (entry, _) in self.ledger.entries.items()
        }

    def world(self) -> tuple[Any, ...]:
        """Return what must be the same with and without a crash."""
        status = self.cluster.status
        jobs = sorted(j["metadata"]["name"] for j in self.cluster.all(JOBS))
        history = [r["reason"] for r in status.get("runs", [])]
        conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
        waiting = status.get("outbox", {}).get("pending", [])
        return status["phase"], status["reason"], history, jobs, conditions, waiting

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
            scene.put_pod(pod_object(*containers, key=key, **{"name": f"fix-{key}"} | more))

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
            scene.cluster.remove(kind, obj)


def refuse(scene: Scene) -> None:
    robbed(scene)
    scene.cluster.refuse_jobs = Forbidden("exceeded quota: pods")


def allow(scene: Scene) -> None:
    scene.cluster.refuse_jobs = None


def nats(up: bool) -> Step:
    def step(scene: Scene) -> None:
        scene.post.up = scene.ledger.up = up
        scene.operator.reconciler.retry_publications()

    return step


def applied_again(scene: Scene) -> None:
    """The task is deleted, with all that it owns, and applied again as it was."""
    scene.cluster.remove(TASKS, scene.cluster.task)
    robbed(scene)
    fresh = task_object(**scene.spec)
    fresh["metadata"]["uid"] = f"{UID[:-1]}{len(scene.spec) + 2}"
    scene.cluster.put(TASKS, fresh)


def no_class(scene: Scene) -> None:
    scene.cluster.remove(CLASSES, class_object())


def new_class(scene: Scene) -> None:
    scene.cluster.put(CLASSES, class_object())


def crowded(scene: Scene) -> None:
    """Another task's Job takes the only place."""
    job = job_object("other")
    job["metadata"] |= {"name": "other", "uid": "other", "ownerReferences": []}
    job["metadata"]["labels"] |= {names.LABEL_TASK: "other"}
    scene.cluster.put(JOBS, job)


def roomy(scene: Scene) -> None:
    """The other task's Job ends."""
    job = next(j for j in scene.cluster.all(JOBS) if j["metadata"]["name"] == "other")
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    scene.cluster.put(JOBS, job)


AT_WORK = pod(running(names.AGENT), phase="Running")
KILLED = fails(dead(names.AGENT, 137, reason="OOMKilled"))
NO_IMAGE = pod(waiting(names.AGENT, "ImagePullBackOff", "no such image"))
REFUSED = fails(dead(names.CLONE, 1, "no such host"))
DISRUPTED = pod(
    running(names.AGENT),
    phase="Failed",
    name="fix-1",
    conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
)

HELD: dict[str, Any] = {"suspend": True}
START_SOON: dict[str, Any] = {"limits": {"startDeadlineSeconds": 70}}

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
    "is disrupted": (
        "Completed",
        {},
        [pod(running(names.AGENT), phase="Running", name="fix-1"), DISRUPTED, well],
    ),
    "waits for its class": (
        "Completed",
        HELD | {"className": "standard"},
        [no_class, change(suspend=False), new_class, AT_WORK, well],
    ),
    "waits for a place": (
        "Completed",
        HELD,
        [crowded, change(suspend=False), nothing, roomy, nothing, AT_WORK, well],
    ),
    "waits for quota": (
        "Completed",
        HELD,
        [refuse, change(suspend=False), nothing, allow, nothing, nothing, AT_WORK, well],
    ),
}
