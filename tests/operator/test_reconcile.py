"""Gather, plan, act: against a cluster in a dictionary, with crashes at every write."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.operator.builders import (
    DEFAULTS,
    NOW,
    WITH_NATS,
    dead,
    digest,
    make_class,
    pod_object,
    running,
    task_object,
    waiting,
)
from tests.operator.fakecluster import Crash, FakeCluster

from agenttask_api import names
from agenttask_operator.cache import Cache
from agenttask_operator.errors import Forbidden, Unavailable
from agenttask_operator.kinds import JOBS, PODS, TASKS
from agenttask_operator.observed import Key, parse_job, parse_pod, parse_task
from agenttask_operator.queue import WorkQueue
from agenttask_operator.reconcile import Reconciler

KEY = Key("team", "fix")
ENDED = pod_object(dead(names.COURIER, 0, digest()), dead(names.AGENT, 0), phase="Succeeded")


@dataclass
class Post:
    """NATS, as the reconciler sees it."""

    up: bool = True
    sent: list[str] = field(default_factory=list)

    async def publish(self, messages):
        if self.up:
            self.sent += [dict(m.headers)["Nats-Msg-Id"] for m in messages]
        return self.up

    async def fetch_result(self, _task_id, _sha256):
        return None


class Timer:
    def cancel(self):
        pass


class Process:
    """One operator process: what is remembered dies with it."""

    def __init__(self, cluster, post=None, ledger=None, cluster_id="", defaults=None):
        self.cluster, self.now = cluster, NOW
        self.cache = Cache()
        self.delays: list[float] = []
        self.queue = WorkQueue(self.schedule)
        defaults = defaults or (WITH_NATS if post else DEFAULTS)
        defaults = replace(defaults, cluster_id=cluster_id or defaults.cluster_id)
        self.reconciler = Reconciler(
            cluster, self.cache, self.queue, post, defaults, lambda: self.now, ledger=ledger
        )
        self.cache.classes["standard"] = make_class()

    def schedule(self, seconds, _function):
        self.delays.append(seconds)
        return Timer()

    def look(self):
        """See what the cluster holds, as after a list."""
        for obj in self.cluster.all(TASKS):
            self.cache.put_task(parse_task(obj))
        version = self.cluster.version
        self.cache.replace_jobs([parse_job(o) for o in self.cluster.all(JOBS)], version)
        self.cache.replace_pods([parse_pod(o) for o in self.cluster.all(PODS)], version)

    async def work(self, seconds=0.0):
        self.now += timedelta(seconds=seconds)
        self.look()
        await self.reconciler.reconcile(KEY)


@pytest.fixture
def cluster():
    fake = FakeCluster()
    fake.put(TASKS, task_object())
    return fake


async def live(cluster, process):
    """Take the task through its whole life."""
    await process.work()
    cluster.put(PODS, pod_object(running(names.AGENT), phase="Running"))
    await process.work(1)
    cluster.put(PODS, ENDED)
    await process.work(1)


async def test_quick_task_costs_three_writes(cluster):
    await live(cluster, Process(cluster))
    assert cluster.writes == ["create job", "patch status", "patch status"]
    assert (cluster.status["phase"], cluster.status["reason"]) == ("Succeeded", "Completed")


async def test_nothing_but_status_and_job_is_written(cluster):
    await live(cluster, Process(cluster))
    metadata = cluster.task["metadata"]
    assert not {"annotations", "finalizers", "labels"} & set(metadata)


async def test_no_news_costs_no_write(cluster):
    process = Process(cluster)
    await live(cluster, process)
    before = list(cluster.writes)
    for _ in range(3):
        await process.work(400)
    assert cluster.writes == before


async def test_finished_task_is_forgotten(cluster):
    process = Process(cluster)
    await live(cluster, process)
    assert not process.cache.tasks


async def test_at_most_four_events_in_a_run(cluster):
    process = Process(cluster)
    await process.work()
    blocked = waiting(names.AGENT, "ImagePullBackOff", "no such image")
    cluster.put(PODS, pod_object(blocked))
    await process.work(10)
    await process.work(10)
    await live(cluster, process)
    assert len(cluster.events) <= 4


async def test_ordinary_progress_is_written_after_five_seconds_only(cluster):
    process = Process(cluster)
    await process.work()
    cluster.put(PODS, pod_object(running(names.CLONE)))
    await process.work(1)
    assert cluster.writes == ["create job"]
    await process.work(5)
    assert cluster.writes == ["create job", "patch status"]


async def test_blocker_is_written_after_three_seconds(cluster):
    process = Process(cluster)
    await process.work()
    cluster.put(PODS, pod_object(waiting(names.AGENT, "ErrImagePull", "no such image")))
    await process.work(1)
    assert cluster.writes == ["create job"]
    await process.work(3)
    assert cluster.status["reason"] == "ImagePullFailed"


async def test_conflict_is_answered_by_reading_again(cluster):
    process = Process(cluster)
    await process.work()
    process.look()
    newer = cluster.task
    newer["spec"]["suspend"] = True
    newer["metadata"]["generation"] = 2
    cluster.put(TASKS, newer)
    cluster.put(PODS, pod_object(running(names.AGENT), phase="Running"))
    for obj in cluster.all(PODS):
        process.cache.put_pod(parse_pod(obj))
    await process.reconciler.reconcile(KEY)
    assert cluster.status["phase"] == "Running"
    assert "SuspendIgnored" in {c["type"] for c in cluster.status["conditions"]}


async def test_foreign_job_of_our_name_is_left_alone(cluster):
    first = FakeCluster()
    first.put(TASKS, task_object())
    await Process(first).work()
    (job,) = first.all(JOBS)
    job["metadata"]["ownerReferences"] = []
    cluster.put(JOBS, job)
    await Process(cluster).work()
    assert cluster.status["reason"] == "NameConflict"


async def test_refused_job_is_explained(cluster):
    cluster.refuse_jobs = Forbidden('jobs.batch "x" is forbidden: exceeded quota: q')
    await Process(cluster).work()
    assert cluster.status["reason"] == "QuotaExceeded"


async def test_unavailable_server_is_the_callers_business(cluster):
    cluster.refuse_jobs = Unavailable("503", retry_after=7)
    with pytest.raises(Unavailable):
        await Process(cluster).work()


async def test_job_that_only_the_cache_lost_goes_on(cluster):
    process = Process(cluster)
    await process.work()
    job = parse_job(cluster.all(JOBS)[0])
    process.cache.drop_job(job.key)
    await process.reconciler.reconcile(KEY)
    assert cluster.status["phase"] == "Pending"
    assert process.cache.jobs_of(job.task_uid)


async def test_job_that_is_really_gone_is_never_created_again(cluster):
    process = Process(cluster)
    await process.work()
    await process.work(6)
    job = parse_job(cluster.all(JOBS)[0])
    await cluster.delete_job(*job.key, job.uid)
    process.cache.drop_job(job.key)
    await process.work(1)
    assert cluster.status["reason"] == "JobLost"
    assert cluster.writes.count("create job") == 1


async def test_events_wait_for_nats_without_a_hot_loop(cluster):
    post = Post(up=False)
    process = Process(cluster, post)
    await live(cluster, process)
    assert condition(cluster, "EventsPublished") == "False"
    writes = len(cluster.writes)
    await process.work(1)
    assert len(cluster.writes) == writes
    assert min(process.delays) >= 1
    post.up = True
    process.reconciler.retry_publications()
    await process.work(1)
    assert condition(cluster, "EventsPublished") == "True"
    assert post.sent[-1].endswith("/terminal")


async def test_nats_is_told_before_the_status_is_written(cluster):
    post = Post()
    process = Process(cluster, post)
    written = cluster.patch_status

    async def crash(*args):
        if post.sent:
            raise Crash
        return await written(*args)

    cluster.patch_status = crash
    with pytest.raises(Crash):
        await live(cluster, process)
    assert post.sent[-1].endswith("/terminal")


def condition(cluster, type_):
    return next(c["status"] for c in cluster.status["conditions"] if c["type"] == type_)


async def test_job_that_ends_ahead_of_its_pods_news_is_not_judged_without_it(cluster):
    process = Process(cluster)
    await process.work()
    cluster.put(PODS, ENDED)
    job = cluster.all(JOBS)[0]
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    cluster.put(JOBS, job)
    process.cache.put_job(parse_job(cluster.all(JOBS)[0]))
    await process.reconciler.reconcile(KEY)
    assert (cluster.status["phase"], cluster.status["reason"]) == ("Succeeded", "Completed")
