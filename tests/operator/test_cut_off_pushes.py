"""What the operator makes of a push that was under way when the pod died."""

from tests.operator.builders import (
    NOW,
    dead,
    digest,
    judged,
    make_facts,
    make_job,
    make_pod,
    make_task,
    run_key,
)
from tests.operator.world import settle

from agenttask_api import names
from agenttask_operator.outcome import decide_outcome

COMMIT = "c" * 40
BEGUN = {"commit": COMMIT, "pushing": "agenttask/fix", "verdict": ""}
SAID = "the push of cccccccccccc to branch agenttask/fix was cut off"
DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]


def outcome(text, *agent, job=True, **more):
    pod = make_pod(
        dead(names.COURIER, 137, text), dead(names.AGENT, *(agent or (0,))), phase="Failed", **more
    )
    return decide_outcome(
        make_job(finished="Failed") if job else make_job(), (pod,), run_key(), NOW
    )


def test_courier_killed_in_mid_push_leaves_the_branch_to_look_at():
    found = outcome(digest("Publishing", "", final=False, **BEGUN), 137, "", "OOMKilled")
    assert found.reason == "OOMKilled"
    assert "the push of cccccccccccc to branch agenttask/fix had begun" in found.message
    assert "may have arrived" in found.message


def test_interrupted_push_keeps_its_reason_in_an_evicted_pod():
    text = digest("PushInterrupted", "Failed", message=SAID, **BEGUN)
    found = outcome(text, reason="Evicted", message="The node was low on memory")
    assert (found.reason, found.message) == ("PushInterrupted", SAID)


def test_interrupted_push_waits_for_the_pod_that_the_job_makes_instead():
    text = digest("PushInterrupted", "Failed", message=SAID, **BEGUN)
    assert outcome(text, job=False, conditions=DISRUPTED) is None
    assert outcome(text, conditions=DISRUPTED).reason == "PushInterrupted"


def test_push_that_ended_is_not_spoken_of():
    found = outcome(digest("Publishing", "", final=False, commit=COMMIT, verdict=""), 1)
    assert found.reason == "NoResult"
    assert "push" not in found.message


def test_cancelled_run_tells_of_its_push():
    pod = judged("PushInterrupted", "Failed", message=SAID, run_key=run_key(cancel=True), **BEGUN)
    facts = make_facts(make_task(cancel=True), created=make_job().key.name, pods=(pod,))
    status = settle(facts)[0].task.status
    assert status.phase == "Cancelled"
    assert status.message.startswith(f"the run was cancelled; {SAID}")
