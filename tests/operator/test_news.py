"""News of tasks and classes: what is over stays a number, what changed wakes whom it concerns."""

import pytest
from tests.operator.builders import class_object, task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import KEY, Post, Process, live

from agenttask_operator.cluster import CLASSES, TASKS
from agenttask_operator.news import News, is_over


def final(published="True", generation=1, phase="Succeeded"):
    conditions = [{"type": "EventsPublished", "status": published}] if published else []
    return {"phase": phase, "observedGeneration": generation, "conditions": conditions}


def news(process, nats=True):
    return News(process.cluster, process.cache, process.queue, process.reconciler, nats)


@pytest.mark.parametrize(
    ("status", "nats", "over"),
    [
        (final(), True, True),
        (final("False"), True, False),
        (final(""), True, False),
        (final(""), False, True),
        (final(generation=0), True, False),
        (final(phase="Running"), True, False),
        (None, True, False),
    ],
)
def test_task_is_over_when_nothing_is_left_to_tell(status, nats, over):
    assert is_over(task_object(status), nats) is over


async def test_what_the_operator_finished_is_over():
    cluster = FakeCluster()
    cluster.put(TASKS, task_object())
    await live(cluster, Process(cluster, Post()))
    assert is_over(cluster.task, True)


async def test_finished_task_that_is_listed_stays_a_number():
    process = Process(FakeCluster())
    news(process).task(None, task_object(final()))
    assert not process.cache.tasks
    assert KEY in process.cache.finished
    assert len(process.queue) == 0


async def test_new_run_of_a_finished_task_is_heard():
    process = Process(FakeCluster())
    takes = news(process)
    takes.task(None, task_object(final()))
    again = task_object(final(), generation=2, runID="2")
    again["metadata"]["resourceVersion"] = "11"
    takes.task("MODIFIED", again)
    assert KEY in process.cache.tasks
    assert len(process.queue) == 1


async def test_status_of_a_class_wakes_nobody_and_its_spec_wakes_who_waits():
    process = Process(FakeCluster())
    process.look()
    takes = news(process)
    takes.class_(None, class_object())
    takes.task(None, task_object())
    process.queue.done(await process.queue.get())
    told = class_object() | {"status": {"running": 3}}
    told["metadata"]["resourceVersion"] = "2"
    takes.class_("MODIFIED", told)
    assert len(process.queue) == 0
    assert process.cache.classes["standard"].resource_version == "2"
    takes.class_("MODIFIED", class_object(flushSeconds=5))
    assert len(process.queue) == 1


async def test_list_forgets_what_vanished_unseen():
    process = Process(FakeCluster())
    process.cluster.put(CLASSES, class_object())
    takes = news(process)
    takes.task(None, task_object())
    await takes.list_tasks("")
    assert not process.cache.tasks
