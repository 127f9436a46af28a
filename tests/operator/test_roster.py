"""News of tasks from two watches that are not in step."""

import pytest
from tests.operator.builders import task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.taskwatches import line, told
from tests.operator.test_reconcile import KEY, Post, Process, live

from agenttask_operator.kinds import ROSTER, TASKS, UNFINISHED
from agenttask_operator.observed import parse_task
from agenttask_operator.roster import Roster, read_line


def final(published="True", generation=1, phase="Succeeded", pending=()):
    conditions = [{"type": "EventsPublished", "status": published}] if published else []
    outbox = {"pending": [{"id": "", "key": key, "phase": "Failed"} for key in pending]}
    status = {"phase": phase, "observedGeneration": generation, "conditions": conditions}
    return status | {"outbox": outbox}


def stored(version, status=None, uid="uid-1", **spec):
    obj = task_object(status, **spec)
    obj["metadata"] |= {"resourceVersion": str(version), "uid": uid}
    return obj


class Seat:
    """A process, and what its two watches tell it."""

    def __init__(self):
        self.process = Process(FakeCluster())
        self.cache, self.queue = self.process.cache, self.process.queue
        roster = Roster(self.cache, self.queue, self.process.reconciler, nats=True)
        self.whole, self.lines = roster.unfinished(), roster.lines()
        self.reads = 0
        self.process.cluster.get = self._get

    async def _get(self, _kind, name, namespace=""):
        self.reads += 1
        return await FakeCluster.get(self.process.cluster, TASKS, name, namespace)

    async def work(self):
        await self.process.reconciler.reconcile(KEY)


@pytest.mark.parametrize(
    ("status", "nats", "over"),
    [
        (final(), True, True),
        (final("False"), True, False),
        (final(""), True, False),
        (final(""), False, True),
        (final(generation=0), True, False),
        (final(phase="Running"), True, False),
        (final(pending=["k"]), False, False),
        (None, True, False),
    ],
)
def test_task_is_over_when_nothing_is_left_to_tell(status, nats, over):
    assert read_line(line(task_object(status)), nats).over is over


def test_resource_without_the_columns_leaves_it_open():
    row = line(task_object(final()))
    del row["cells"]["Unsent"]
    assert not read_line(row, True).over


async def test_what_the_operator_finished_is_over():
    cluster = FakeCluster()
    cluster.put(TASKS, task_object())
    await live(cluster, Process(cluster, Post()))
    assert read_line(line(cluster.task), True).over


def test_finished_tasks_of_the_roster_stay_a_number():
    seat = Seat()
    seat.lines.replace([seat.lines.read(line(stored(10, final())))], "10")
    assert not seat.cache.tasks
    assert seat.cache.finished == {KEY: 10}
    assert len(seat.queue) == 0


async def test_new_run_of_a_finished_task_is_read_once():
    seat = Seat()
    seat.lines.replace([seat.lines.read(line(stored(10, final())))], "10")
    again = stored(11, final(), generation=2, runID="2")
    seat.process.cluster.objects[TASKS.plural, *KEY] = again
    seat.lines.changed(line(again))
    assert len(seat.queue) == 1
    await seat.work()
    await seat.work()
    spec = seat.cache.tasks[KEY].spec
    assert spec
    assert spec.run_id == "2"
    assert seat.cache.jobs_of("uid-1")


def test_own_end_that_leaves_the_selection_is_no_news():
    seat = Seat()
    seat.whole.changed(stored(10))
    seat.cache.finish_task(parse_task(stored(12, final())))
    seat.whole.deleted(stored(12))
    assert not seat.cache.doubts
    assert KEY in seat.cache.finished


async def test_unfinished_task_that_is_deleted_is_asked_for_and_forgotten():
    seat = Seat()
    seat.whole.changed(stored(10))
    seat.whole.deleted(stored(12))
    assert KEY in seat.cache.tasks
    await seat.work()
    assert seat.reads == 1
    assert not seat.cache.tasks
    assert not seat.cache.doubts


async def test_end_that_another_process_wrote_needs_no_read_when_the_roster_tells_it():
    seat = Seat()
    seat.whole.changed(stored(10))
    seat.whole.deleted(stored(12))
    seat.lines.changed(line(stored(12, final())))
    await seat.work()
    assert seat.reads == 0
    assert seat.cache.finished == {KEY: 12}


def test_late_line_undoes_nothing():
    seat = Seat()
    seat.whole.changed(stored(20, uid="uid-2"))
    seat.lines.changed(line(stored(15, final())))
    seat.lines.deleted(line(stored(16, final())))
    assert seat.cache.tasks[KEY].uid == "uid-2"
    assert not seat.cache.finished


def test_late_whole_task_does_not_bring_back_a_deleted_one():
    seat = Seat()
    seat.whole.changed(stored(10))
    seat.lines.deleted(line(stored(13)))
    seat.whole.changed(stored(12))
    assert not seat.cache.tasks
    seat.whole.changed(stored(14, uid="uid-2"))
    assert seat.cache.tasks[KEY].uid == "uid-2"


def test_roster_that_is_called_forgets_what_vanished_unseen():
    seat = Seat()
    seat.whole.changed(stored(10))
    seat.lines.replace([], "9")
    assert KEY in seat.cache.tasks
    seat.lines.replace([], "10")
    assert not seat.cache.tasks


def test_list_of_the_unfinished_says_nothing_of_the_others():
    seat = Seat()
    seat.whole.changed(stored(10))
    seat.whole.replace([], "12")
    assert KEY in seat.cache.tasks


def test_restored_etcd_is_believed_by_both():
    seat = Seat()
    seat.whole.replace([], "90")
    seat.lines.replace([seat.lines.read(line(stored(80, final())))], "90")
    seat.lines.replace([seat.lines.read(line(stored(50)))], "60")
    seat.whole.replace([seat.whole.read(stored(50))], "60")
    assert seat.cache.tasks[KEY].resource_version == "50"
    seat.lines.replace([seat.lines.read(line(stored(40, final("False"))))], "45")
    assert KEY not in seat.cache.tasks
    assert seat.cache.in_doubt(KEY)


@pytest.mark.parametrize(
    ("type_", "before", "now", "whole"),
    [
        ("ADDED", None, None, "ADDED"),
        ("MODIFIED", {"phase": "Pending"}, {"phase": "Running"}, "MODIFIED"),
        ("MODIFIED", {"phase": "Running"}, final(), "DELETED"),
        ("MODIFIED", final(), final("False"), None),
        ("MODIFIED", final(), {"phase": "Pending"}, "ADDED"),
        ("DELETED", {"phase": "Running"}, {"phase": "Running"}, "DELETED"),
        ("DELETED", final(), final(), None),
    ],
)
def test_events_that_the_fake_tells(type_, before, now, whole):
    old = stored(10, before) if type_ != "ADDED" else None
    event = told(UNFINISHED, type_, stored(11, now), old)
    assert (event[0] if event else None) == whole
    assert not event or event[1]["metadata"]["resourceVersion"] == "11"
    assert told(ROSTER, type_, stored(11, now), old) == (type_, line(stored(11, now)))
