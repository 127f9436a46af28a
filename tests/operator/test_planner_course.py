"""The course of a run: cancels, deadlines, runs after one another, and what NATS is told."""

from dataclasses import replace

import pytest
from tests.operator.builders import (
    NOW,
    WITH_NATS,
    ago,
    dead,
    first,
    judged,
    make_class,
    make_facts,
    make_job,
    make_pod,
    make_task,
    running,
)
from tests.operator.plans import IMAGE, kinds, published, told, with_job
from tests.operator.world import apply, effects, settle

from agenttask_api import names
from agenttask_operator.actions import CreateJob, DeleteJob, PatchStatus, Publish, Requeue
from agenttask_operator.facts import Publication, Refusal
from agenttask_operator.needs import missing_jobs
from agenttask_operator.planner import plan


def test_cancel_deletes_the_job_and_waits_for_the_pod():
    facts = with_job(make_pod(running(names.AGENT)), task=make_task(cancel=True))
    assert kinds(plan(facts, NOW)) == ["DeleteJob", "DeletePod", "Requeue"]
    ending = make_pod(running(names.AGENT), deletion=ago(-60))
    waiting_for_pod = replace(facts, jobs=(), pods=(ending,), created=make_job().key.name)
    assert kinds(plan(waiting_for_pod, NOW)) == ["Requeue"]
    assert told(facts)[0].phase == "Cancelled"


def test_cancel_does_not_wait_for_the_garbage_collector():
    """It may come to the pod late, while the run goes on; a pod seen late is ended as well."""
    facts = with_job(make_pod(running(names.AGENT)), task=make_task(cancel=True))
    deleted = replace(facts, jobs=(replace(facts.jobs[0], deleting=True),))
    gone = replace(facts, jobs=(), created=make_job().key.name)
    for late in (deleted, gone):
        assert kinds(plan(late, NOW)) == ["DeletePod", "Requeue"]


@pytest.mark.parametrize("ended", ["Completed", "VerificationFailed"])
def test_run_that_ended_before_its_cancel_was_seen_keeps_its_end(ended):
    phase = "Succeeded" if ended == "Completed" else "Failed"
    told_end, _ = told(with_job(judged(ended, phase), task=make_task(cancel=True)))
    assert (told_end.phase, told_end.reason) == (phase, ended)


def test_cancel_does_not_wait_for_a_pod_that_its_node_lost():
    pod = make_pod(running(names.AGENT), deletion=ago(61))
    facts = make_facts(make_task(cancel=True), pods=(pod,))
    assert told(facts)[0].phase == "Cancelled"


def test_new_run_starts_only_when_the_old_one_is_gone():
    old = with_job(make_pod(running(names.AGENT)))
    first = settle(old)[0].task
    task = make_task(first.raw_status, generation=2, runID="2")
    facts = replace(old, task=task)
    assert kinds(plan(facts, NOW)) == ["DeleteJob", "DeletePod", "Requeue"]
    gone = replace(facts, jobs=())
    assert kinds(plan(gone, NOW)) == ["DeletePod", "Requeue"]
    end, done = settle(facts)
    assert kinds(done) == ["DeleteJob", "DeletePod", "CreateJob", "PatchStatus"]
    assert [(r.id, r.reason) for r in end.task.status.runs] == [("1", "Superseded")]
    assert end.task.status.run is not None
    assert end.task.status.run.number == 2


def test_terminal_is_final_though_the_spec_says_cancel():
    end, _ = settle(with_job(judged()))
    again = make_facts(make_task(end.task.raw_status, generation=2, cancel=True))
    end, done = settle(again)
    assert kinds(done) == ["PatchStatus"]
    assert (end.task.status.phase, end.task.status.observed_generation) == ("Succeeded", 2)


def test_start_deadline_deletes_the_job_first_and_names_the_cause():
    facts = with_job(make_pod(IMAGE), job=make_job(created=601))
    assert kinds(effects(plan(facts, NOW))) == ["PatchStatus", "DeleteJob"]
    status, _ = told(facts)
    assert status.reason == "StartDeadlineExceeded"
    assert "ImagePullFailed" in status.message


def test_start_deadline_is_the_same_after_a_crash_between_its_two_steps():
    facts = with_job(make_pod(IMAGE), job=make_job(created=601))
    for action in effects(plan(facts, NOW)):
        facts = apply(facts, action)
    crashed = replace(facts, created="", pods=())
    assert told(crashed)[0].reason == "StartDeadlineExceeded"


def test_pod_that_ends_with_its_deleted_job_does_not_put_the_deadline_off():
    facts = with_job(make_pod(IMAGE), job=make_job(created=601))
    for action in effects(plan(facts, NOW)):
        facts = apply(facts, action)
    ended = make_pod(dead(names.CLONE, 137), phase="Failed")
    assert told(replace(facts, jobs=(), pods=(ended,)))[0].reason == "StartDeadlineExceeded"


def test_start_deadline_does_not_count_once_the_agent_runs():
    facts = with_job(make_pod(running(names.AGENT)), job=make_job(created=9999))
    assert told(facts)[0].phase == "Running"


def test_recorded_job_is_asked_for_before_it_is_called_lost():
    status = settle(with_job(make_pod(running(names.AGENT))))[0].task.raw_status
    assert missing_jobs(make_facts(make_task(status)), NOW) == (make_job().key.name,)
    assert missing_jobs(make_facts(), NOW) == ()


def test_suspend_of_a_started_task_is_answered():
    facts = with_job(make_pod(running(names.AGENT)), task=make_task(suspend=True))
    assert told(facts)[1]["SuspendIgnored"] == ("True", "SuspendIgnored")


def test_restricted_class_waits_for_an_allowed_namespace():
    restricted = make_class(allowedNamespaces={"matchLabels": {"agents": "yes"}})
    facts = make_facts(classes={"standard": restricted}, namespace_labels={"agents": "no"})
    assert told(facts)[0].reason == "WaitingForClass"
    allowed = replace(facts, namespace_labels={"agents": "yes"})
    assert isinstance(plan(allowed, NOW)[0], CreateJob)


def test_nats_is_told_first_and_the_status_written_once():
    facts = with_job(judged(), defaults=WITH_NATS)
    end, done = settle(facts)
    assert kinds(done) == ["Publish", "PatchStatus"]
    assert published(end) == "True"
    assert [m.subject for m in first(done, Publish).messages] == [
        "$KV.agent-context.default.team.fix",
        "context.updated.team.fix",
        "agent.response.started.team.fix",
        "agent.results.team.fix",
        "agent.response.completed.team.fix",
    ]


def test_failed_run_is_never_on_completed():
    _, done = settle(with_job(judged(phase="Failed"), defaults=WITH_NATS))
    assert first(done, Publish).messages[-1].subject == "agent.response.failed.team.fix"


def test_pod_that_stored_its_result_gets_no_second_one():
    _, done = settle(with_job(judged(stored=True), defaults=WITH_NATS))
    subjects = [m.subject for m in first(done, Publish).messages]
    assert "agent.results.team.fix" not in subjects
    assert "agent.response.completed.team.fix" in subjects


def test_nats_down_does_not_hold_the_status():
    facts = with_job(judged(), defaults=WITH_NATS)
    terminal = first(plan(facts, NOW), Publish).terminal_id
    down = replace(facts, publications={terminal: Publication(False, ago(-10))})
    actions = plan(down, NOW)
    assert kinds(actions) == ["PatchStatus", "Requeue"]
    written = apply(down, actions[0])
    assert published(written) == "False"
    assert kinds(plan(written, NOW)) == ["Requeue"]
    back = replace(written, publications={})
    end, done = settle(back)
    assert kinds(done) == ["Publish", "PatchStatus"]
    assert published(end) == "True"


def test_ordinary_progress_waits_and_running_does_not():
    cloning = plan(with_job(make_pod(running(names.CLONE))), NOW)
    runs = plan(with_job(make_pod(running(names.AGENT))), NOW)
    blocked = plan(with_job(make_pod(IMAGE)), NOW)
    delays = [
        next(a.delay for a in p if isinstance(a, PatchStatus)) for p in (cloning, runs, blocked)
    ]
    assert delays == [5.0, 0.0, 3.0]


def test_waiting_run_is_looked_at_before_its_deadline():
    actions = plan(with_job(make_pod(IMAGE), job=make_job(created=595)), NOW)
    assert [a.seconds for a in actions if isinstance(a, Requeue)] == [5.0]


def test_deleting_task_is_left_alone():
    assert plan(make_facts(replace(make_task(), deleting=True)), NOW) == ()


def test_refused_job_is_tried_again_later():
    refused = make_facts(refusal=Refusal("exceeded quota: jobs", ago(1)))
    assert told(refused)[0].reason == "QuotaExceeded"
    later = replace(refused, refusal=Refusal("exceeded quota: jobs", ago(31)))
    assert isinstance(plan(later, NOW)[0], CreateJob)


def test_transition_time_stays_while_the_status_of_a_condition_does():
    first = settle(with_job(make_pod(IMAGE)))[0]
    before = {c.type: c for c in first.task.status.conditions}
    later = replace(first, pods=(make_pod(running(names.AGENT)),))
    write = next(a for a in plan(later, ago(-60)) if isinstance(a, PatchStatus))
    after = {c.type: c for c in write.status.conditions}
    assert after["Ready"].last_transition_time == before["Ready"].last_transition_time
    assert after["Started"].last_transition_time != before["Started"].last_transition_time


def test_publish_comes_before_any_write():
    actions = plan(with_job(judged(), defaults=WITH_NATS), NOW)
    assert [type(a) for a in actions] == [Publish]
    assert not any(isinstance(a, DeleteJob) for a in actions)
