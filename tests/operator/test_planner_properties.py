"""Whatever the facts: plans come to rest, start at most one Job, and never undo an end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.operator.builders import (
    DEFAULTS,
    NOW,
    WITH_NATS,
    ago,
    dead,
    digest,
    make_class,
    make_facts,
    make_job,
    make_pod,
    make_task,
    run_key,
    running,
    waiting,
)
from tests.operator.world import settle

from agenttask_api import names
from agenttask_api.reasons import Kind, Reason, meaning
from agenttask_api.status import MAX_STATUS_BYTES, TERMINAL_PHASES, ConditionType, Phase
from agenttask_operator.actions import CreateJob, PatchStatus, Requeue
from agenttask_operator.facts import Facts, Publication, Refusal
from agenttask_operator.planner import plan

TERMINAL = [r for r in Reason if meaning(r).kind is Kind.TERMINAL]

specs: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "suspend": st.booleans(),
        "cancel": st.booleans(),
        "runID": st.sampled_from(["1", "2"]),
    },
    optional={
        "agents": st.just({"count": 2}),
        "className": st.sampled_from(["standard", "absent"]),
        "limits": st.sampled_from([{"startDeadlineSeconds": 10}, {"activeDeadlineSeconds": 80000}]),
    },
)
containers = st.lists(
    st.one_of(
        st.sampled_from([running(n) for n in (names.CLONE, names.COURIER, names.AGENT)]),
        st.builds(dead, st.sampled_from([names.CLONE, names.AGENT]), st.sampled_from([0, 1, 75])),
        st.sampled_from(
            [
                waiting(names.AGENT, "ImagePullBackOff", "no such image"),
                waiting(names.AGENT, "PodInitializing"),
                waiting(names.CLONE, "CreateContainerConfigError", "no secret"),
            ]
        ),
        st.builds(
            lambda r, p: dead(names.COURIER, 0, digest(r, p)),
            st.sampled_from(TERMINAL),
            st.sampled_from(["Succeeded", "Failed", "Cancelled", "odd"]),
        ),
        st.builds(lambda t: dead(names.COURIER, 0, t), st.text(max_size=50)),
    ),
    max_size=4,
)
pods = st.builds(
    lambda cs, phase, key, gone, name: replace(
        make_pod(*cs, phase=phase, key=key, name=name), gone=gone
    ),
    containers,
    st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
    st.sampled_from([run_key(), run_key(runID="2")]),
    st.booleans(),
    st.sampled_from(["fix-1", "fix-2"]),
)
jobs = st.builds(
    make_job,
    st.sampled_from([run_key(), run_key(runID="2")]),
    st.sampled_from([5, 30, 1000]),
    st.sampled_from(["", "", "Complete", "Failed"]),
)


@st.composite
def all_facts(draw: st.DrawFn) -> Facts:
    facts = make_facts(
        make_task(None, draw(st.integers(1, 2)), **draw(specs)),
        classes=draw(
            st.sampled_from([{}, {"standard": make_class(limits={"max": {"retries": 3}})}])
        ),
        defaults=draw(st.sampled_from([DEFAULTS, WITH_NATS])),
        jobs=tuple({j.key: j for j in draw(st.lists(jobs, max_size=2))}.values()),
        pods=tuple({p.key: p for p in draw(st.lists(pods, max_size=2))}.values()),
        refusal=draw(st.sampled_from([None, Refusal("exceeded quota", ago(1))])),
    )
    if draw(st.booleans()):
        # A status as an earlier operator process left it.
        facts = settle(replace(facts, refusal=None))[0]
        spec = draw(specs)
        obj = make_task(status=facts.task.raw_status, generation=3, **spec)
        facts = replace(facts, task=obj, created=draw(st.sampled_from(["", facts.created])))
    return facts


relaxed = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@relaxed
@given(all_facts())
def test_plans_come_to_rest(facts):
    end, _ = settle(facts)
    assert settle(end)[1] == ()


@relaxed
@given(all_facts())
def test_at_most_one_job_is_created_and_none_beside_a_live_one(facts):
    end, done = settle(facts)
    created = [a for a in done if isinstance(a, CreateJob)]
    live = [j for j in end.jobs if not j.finished]
    assert len(created) <= 1
    assert len(live) <= 1


@relaxed
@given(all_facts())
def test_no_job_is_created_for_a_task_that_must_not_start(facts):
    _, done = settle(facts)
    spec = facts.task.spec
    forbidden = spec.suspend or spec.cancel or spec.agents.count > 1
    assert not (forbidden and any(isinstance(a, CreateJob) for a in done))


@relaxed
@given(all_facts())
def test_a_terminal_phase_is_left_only_for_another_run(facts):
    end, _ = settle(facts)
    before = facts.task.status
    if before.phase in TERMINAL_PHASES and before.run and end.task.status.run:
        same = before.run.key == end.task.status.run.key
        assert not same or end.task.status.phase == before.phase


@relaxed
@given(all_facts())
def test_running_means_that_the_agent_runs_or_ran(facts):
    end, _ = settle(facts)
    status = end.task.status
    if status.phase is not Phase.RUNNING or status == facts.task.status:
        return
    agents = [p.container(names.AGENT) for p in end.pods if not p.ended]
    assert any(a.running or a.exit_code is not None for a in agents)


@relaxed
@given(all_facts())
def test_every_written_status_fits(facts):
    _, done = settle(facts)
    for action in done:
        if isinstance(action, PatchStatus):
            assert action.status.size() <= MAX_STATUS_BYTES


@relaxed
@given(all_facts())
def test_nats_is_told_before_the_status_says_so(facts):
    published: dict[str, Publication] = dict(facts.publications)
    actions = plan(facts, NOW)
    for action in actions:
        if isinstance(action, PatchStatus) and action.status.phase in TERMINAL_PHASES:
            condition = next(
                (c for c in action.status.conditions if c.type == "EventsPublished"), None
            )
            kept = facts.task.status.condition(ConditionType.EVENTS_PUBLISHED)
            assert not (condition and condition.status == "True") or published or kept


@relaxed
@given(all_facts(), st.integers(-86400, 86400))
def test_clock_that_is_wrong_by_a_day_makes_no_time_negative(facts, skew):
    for action in plan(facts, NOW + timedelta(seconds=skew)):
        if isinstance(action, PatchStatus):
            assert not action.status.duration.startswith("-")
        if isinstance(action, Requeue):
            assert action.seconds >= 0
