"""Tasks that may not start yet: held by others' turns, or by Kueue."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.operator.builders import NOW, ago, first, job_object, make_facts, make_task

from agenttask_api.names import LABEL_QUEUE
from agenttask_api.reasons import Reason
from agenttask_api.status import Phase
from agenttask_operator.actions import CreateJob, DeleteJob, PatchStatus, Requeue
from agenttask_operator.observed import parse_job
from agenttask_operator.planner import plan
from agenttask_operator.turns import Obstacle, Turn

FULL = Turn(Obstacle(Reason.QUEUED, "the operator runs 5 tasks at once"), 3, 12)
QUEUE: dict[str, Any] = {"queue": {"name": "team"}, "limits": {"startDeadlineSeconds": 60}}


def suspended(created=30.0, resumed=None):
    """Return the Job of a task with a queue; resumed so many seconds ago."""
    task = make_task(**QUEUE)
    assert task.spec
    obj = job_object(task.spec.run_key(), created)
    obj["metadata"]["labels"][LABEL_QUEUE] = "team"
    obj["spec"] = {"suspend": resumed is None}
    if resumed is not None:
        obj["status"]["startTime"] = ago(resumed).isoformat()
    return make_facts(task, jobs=(parse_job(obj),))


def kinds(actions):
    return {type(a) for a in actions}


def test_task_whose_turn_has_not_come_is_queued_without_a_job_or_a_clock():
    actions = plan(make_facts(turn=FULL), NOW)
    assert CreateJob not in kinds(actions)
    status = first(actions, PatchStatus).status
    assert (status.phase, status.reason) == (Phase.QUEUED, "Queued")
    assert "place 3 of about 10" in status.message
    assert status.run
    assert not status.run.accepted_time


def test_place_is_looked_for_more_seldom_the_farther_behind_it_is():
    near = first(plan(make_facts(turn=FULL), NOW), Requeue).seconds
    far = replace(FULL, position=900)
    assert near < first(plan(make_facts(turn=far), NOW), Requeue).seconds <= 300


def test_task_whose_turn_has_come_gets_its_job():
    assert CreateJob in kinds(plan(make_facts(turn=Turn()), NOW))


def test_queue_name_gives_a_suspended_job_with_kueues_label():
    manifest = first(plan(make_facts(make_task(**QUEUE)), NOW), CreateJob).manifest
    assert manifest["spec"]["suspend"] is True
    assert manifest["metadata"]["labels"][LABEL_QUEUE] == "team"
    pod = manifest["spec"]["template"]["metadata"]["labels"]
    assert LABEL_QUEUE not in pod


def test_without_a_queue_the_job_runs_at_once():
    manifest = first(plan(make_facts(), NOW), CreateJob).manifest
    assert manifest["spec"]["suspend"] is False
    assert LABEL_QUEUE not in manifest["metadata"]["labels"]


def test_job_that_waits_for_kueue_is_queued_and_never_too_late():
    actions = plan(suspended(created=5000), NOW)
    assert DeleteJob not in kinds(actions)
    status = first(actions, PatchStatus).status
    assert (status.phase, status.reason) == (Phase.QUEUED, "QueueNotAdmitted")
    assert "'team'" in status.message


def test_start_clock_runs_from_when_kueue_let_the_job_go():
    fresh = suspended(created=5000, resumed=10)
    assert DeleteJob not in kinds(plan(fresh, NOW))
    assert DeleteJob in kinds(plan(fresh, NOW + timedelta(seconds=60)))
