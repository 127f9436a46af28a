"""News of classes: what changed wakes whom it concerns."""

from tests.operator.builders import class_object, make_task
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import Process

from agenttask_operator.kinds import CLASSES
from agenttask_operator.news import News


async def test_status_of_a_class_wakes_nobody_and_its_spec_wakes_who_waits():
    process = Process(FakeCluster())
    process.cache.put_task(make_task())
    takes = News(process.cluster, process.cache, process.queue)
    takes.class_(None, class_object())
    told = class_object() | {"status": {"running": 3}}
    told["metadata"]["resourceVersion"] = "2"
    before = len(process.queue)
    takes.class_("MODIFIED", told)
    assert len(process.queue) == before
    assert process.cache.classes["standard"].resource_version == "2"
    if before:
        process.queue.done(await process.queue.get())
    takes.class_("MODIFIED", class_object(flushSeconds=5))
    assert len(process.queue) == 1


async def test_class_that_a_list_does_not_show_is_gone():
    process = Process(FakeCluster())
    process.cluster.put(CLASSES, class_object("other"))
    await News(process.cluster, process.cache, process.queue).list_classes()
    assert set(process.cache.classes) == {"other"}
