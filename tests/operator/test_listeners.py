"""News of Jobs and pods wake their task when they tell anything that a plan could use."""

import pytest
from tests.operator.builders import job_object, make_task, pod_object, running

from agenttask_operator.cache import Cache
from agenttask_operator.listeners import job_listener, pod_listener
from agenttask_operator.queue import WorkQueue


class Desk:
    """A cache with a task, its queue, and the two listeners."""

    def __init__(self):
        self.cache, self.queue = Cache(), WorkQueue()
        self.task = make_task()
        self.cache.put_task(self.task)
        self.jobs = job_listener(self.cache, self.queue)
        self.pods = pod_listener(self.cache, self.queue)

    async def woken(self):
        """Say whether the task is due, and take it off the queue."""
        if not len(self.queue):
            return False
        self.queue.done(await self.queue.get())
        return True


@pytest.fixture
def desk():
    return Desk()


def again(obj, **metadata):
    """The same object at a later version."""
    version = str(int(obj["metadata"]["resourceVersion"]) + 5)
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": version, **metadata}}


async def test_job_that_changed_only_where_we_do_not_look_wakes_nobody(desk):
    job = job_object()
    desk.jobs.changed(job)
    assert await desk.woken()
    desk.jobs.changed(again(job, annotations={"other": "x"}))
    assert not await desk.woken()


async def test_job_that_ended_wakes_its_task(desk):
    desk.jobs.changed(job_object())
    assert await desk.woken()
    desk.jobs.changed(again(job_object(finished="Complete")))
    assert await desk.woken()


async def test_pod_that_got_an_address_wakes_nobody_and_one_that_runs_does(desk):
    pod = pod_object()
    desk.pods.changed(pod)
    assert await desk.woken()
    later = again(pod)
    later["status"] = {**pod["status"], "podIP": "10.0.0.1"}
    desk.pods.changed(later)
    assert not await desk.woken()
    desk.pods.changed(again(again(pod_object(running("agent")))))
    assert await desk.woken()


async def test_version_of_an_uninteresting_change_is_kept(desk):
    job = job_object()
    desk.jobs.changed(job)
    desk.jobs.changed(again(job))
    (kept,) = desk.cache.jobs_of(desk.task.uid)
    assert kept.resource_version == again(job)["metadata"]["resourceVersion"]
