"""One case at a time: what the operator does, and what the status then says."""

from dataclasses import replace

import pytest
from tests.operator.builders import (
    NOW,
    ago,
    dead,
    first,
    judged,
    make_facts,
    make_job,
    make_pod,
    make_task,
    run_key,
    running,
)
from tests.operator.plans import IMAGE, kinds, told, with_job

from agenttask_api import names
from agenttask_api.reasons import RERUN_HINT
from agenttask_operator.actions import CreateJob
from agenttask_operator.blockers import Note
from agenttask_operator.facts import Refusal
from agenttask_operator.planner import plan

CONDITIONS = ("Accepted", "Scheduled", "Started", "Succeeded", "Ready", "Reconciling", "Stalled")
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}


def test_new_task_gets_its_job():
    actions = plan(make_facts(), NOW)
    assert kinds(actions) == ["CreateJob", "EmitEvent"]
    assert first(actions, CreateJob).manifest["metadata"]["name"] == make_job().key.name


# Ready, Reconciling and Stalled as the truth table of the design has them; None = absent.
TABLE = [
    pytest.param(
        with_job(judged()),
        ("Succeeded", "Verified", "Completed", "True", None, None),
        id="change and verify passed",
    ),
    pytest.param(
        with_job(judged(verdict="Unverified")),
        ("Succeeded", "Unverified", "Completed", "True", None, None),
        id="change and no verify asked",
    ),
    pytest.param(
        with_job(judged(reason="NoChange", verdict="NoChange")),
        ("Succeeded", "NoChange", "Completed", "True", None, None),
        id="nothing to change and none asked",
    ),
    pytest.param(
        with_job(judged(reason="NoChange", phase="Failed", verdict="NoChange")),
        ("Failed", "NoChange", "NoChange", "False", None, "True"),
        id="no change though one was asked",
    ),
    pytest.param(
        with_job(judged(reason="VerificationFailed", phase="Failed", verdict="Rejected")),
        ("Failed", "Rejected", "VerificationFailed", "False", None, "True"),
        id="verify failed",
    ),
    pytest.param(
        with_job(judged(reason="Cancelled", phase="Cancelled", verdict="")),
        ("Cancelled", "", "Cancelled", "False", None, "True"),
        id="cancelled by the courier",
    ),
    pytest.param(
        with_job(
            make_pod(dead(names.AGENT, 0), phase="Succeeded"), job=make_job(finished="Complete")
        ),
        ("Failed", "", "NoResult", "False", None, "True"),
        id="agent left without a result",
    ),
    pytest.param(
        with_job(make_pod(running(names.AGENT))),
        ("Running", "", "Running", "Unknown", "True", None),
        id="agent runs",
    ),
    pytest.param(
        with_job(make_pod(running(names.CLONE), running(names.COURIER))),
        ("Pending", "", "Cloning", "Unknown", "True", None),
        id="pod clones",
    ),
    pytest.param(
        with_job(make_pod(IMAGE)),
        ("Pending", "", "ImagePullFailed", "Unknown", "True", None),
        id="image cannot be pulled",
    ),
    pytest.param(
        with_job(make_pod(node="", conditions=[UNSCHEDULABLE])),
        ("Pending", "", "Unschedulable", "Unknown", "True", None),
        id="no node fits",
    ),
    pytest.param(
        with_job(notes=(Note("FailedCreate", "pods is forbidden: exceeded quota: q"),)),
        ("Pending", "", "QuotaExceeded", "Unknown", "True", None),
        id="quota refuses the pod",
    ),
    pytest.param(
        with_job(notes=(Note("FailedCreate", 'violates PodSecurity "restricted"'),)),
        ("Pending", "", "PodCreationDenied", "Unknown", "True", None),
        id="admission refuses the pod",
    ),
    pytest.param(
        make_facts(classes={}),
        ("Pending", "", "WaitingForClass", "Unknown", "True", None),
        id="no class",
    ),
    pytest.param(
        make_facts(make_task(suspend=True)),
        ("Pending", "", "Suspended", "Unknown", "True", None),
        id="suspended before the start",
    ),
    pytest.param(
        make_facts(make_task(agents={"count": 2})),
        ("Pending", "", "NotImplemented", "False", None, "True"),
        id="field that nothing honours",
    ),
    pytest.param(
        make_facts(make_task(cancel=True)),
        ("Cancelled", "", "Cancelled", "False", None, "True"),
        id="cancelled before the start",
    ),
    pytest.param(
        make_facts(make_task(toolchain="cobol")),
        ("Failed", "", "InvalidSpec", "False", None, "True"),
        id="unknown toolchain",
    ),
    pytest.param(
        make_facts(make_task(colour="red")),
        ("Failed", "", "InvalidSpec", "False", None, "True"),
        id="spec that we cannot read",
    ),
    pytest.param(
        make_facts(refusal=Refusal("", ago(1), conflict=True)),
        ("Pending", "", "NameConflict", "Unknown", "True", None),
        id="name taken by somebody else",
    ),
    pytest.param(
        make_facts(created=make_job().key.name, pods=(judged("NoResult", "Failed", verdict=""),)),
        ("Failed", "", "JobLost", "False", None, "True"),
        id="Job deleted under a working agent",
    ),
    pytest.param(
        make_facts(
            make_task(cancel=True),
            created=make_job().key.name,
            pods=(judged("NoResult", "Failed", verdict="", run_key=run_key(cancel=True)),),
        ),
        ("Cancelled", "", "Cancelled", "False", None, "True"),
        id="cancelled under a working agent",
    ),
    pytest.param(
        make_facts(
            make_task(cancel=True),
            created=make_job().key.name,
            pods=(judged("PushInterrupted", "Failed", verdict="", run_key=run_key(cancel=True)),),
        ),
        ("Cancelled", "", "Cancelled", "False", None, "True"),
        id="cancelled in mid-push",
    ),
    pytest.param(
        make_facts(created=make_job().key.name),
        ("Failed", "", "JobLost", "False", None, "True"),
        id="job vanished",
    ),
]


@pytest.mark.parametrize(("facts", "expected"), TABLE)
def test_truth_table(facts, expected):
    status, conditions = told(facts)
    found = (status.phase, status.verdict, status.reason)
    found += tuple(conditions.get(c, (None,))[0] for c in ("Ready", "Reconciling", "Stalled"))
    assert found == expected


@pytest.mark.parametrize(("facts", "expected"), TABLE)
def test_every_status_has_ready_and_is_for_the_newest_generation(facts, expected):
    status, conditions = told(facts)
    assert "Ready" in conditions
    assert status.observed_generation == 1


@pytest.mark.parametrize(("facts", "expected"), TABLE)
def test_failed_runs_say_how_to_run_again(facts, expected):
    status, _ = told(facts)
    assert status.message.endswith(RERUN_HINT) == (status.phase == "Failed")


def test_pending_pod_is_not_running():
    status, conditions = told(with_job(make_pod(running(names.COURIER))))
    assert status.phase == "Pending"
    assert conditions["Started"][0] == "False"


def test_missing_secret_is_named_with_the_command_that_creates_it():
    note = Note("FailedMount", 'MountVolume.SetUp failed for volume "git": secret "g" not found')
    status, _ = told(with_job(make_pod(), notes=(note,)))
    assert status.reason == "ContainerConfigError"
    assert "kubectl create secret generic g -n team --from-literal=username=USER" in status.message


def test_digest_of_another_run_does_not_count():
    pod = judged(run_key="9-00000000")
    pod = replace(pod, run_key=run_key())
    status, _ = told(with_job(pod, job=make_job(finished="Complete")))
    assert status.reason == "NoResult"


def test_failed_pod_of_a_job_that_tries_again_is_no_end():
    pod = make_pod(dead(names.AGENT, 75), phase="Failed")
    assert told(with_job(pod))[0].phase == "Pending"


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        pytest.param(
            make_pod(
                dead(names.CLONE, 1, '{"reason":"CloneAuthFailed","message":"401"}'), phase="Failed"
            ),
            "CloneAuthFailed",
            id="clone says why",
        ),
        pytest.param(
            make_pod(dead(names.CLONE, 1, "?"), phase="Failed"), "CloneFailed", id="clone"
        ),
        pytest.param(
            make_pod(dead(names.AGENT, 137, reason="OOMKilled"), phase="Failed"),
            "OOMKilled",
            id="oom",
        ),
        pytest.param(
            make_pod(
                phase="Failed",
                reason="Evicted",
                message='Usage of EmptyDir volume "workspace" exceeds the limit "1Gi".',
            ),
            "WorkspaceFull",
            id="workspace full",
        ),
        pytest.param(
            make_pod(phase="Failed", reason="Evicted", message="The node was low on memory."),
            "Evicted",
            id="evicted",
        ),
        pytest.param(
            make_pod(dead(names.AGENT, 137), phase="Failed", reason="DeadlineExceeded"),
            "DeadlineExceeded",
            id="pod deadline",
        ),
        pytest.param(make_pod(phase="Failed", reason="NodeLost"), "NodeLost", id="node lost"),
        pytest.param(make_pod(dead(names.AGENT, 1), phase="Failed"), "NoResult", id="no result"),
        pytest.param(make_pod(phase="Failed"), "InternalError", id="unexplained"),
    ],
)
def test_reason_without_a_digest_comes_from_the_pod(pod, reason):
    status, _ = told(with_job(pod, job=make_job(finished="Failed")))
    assert (status.phase, status.reason) == ("Failed", reason)
    assert status.attempts[0].reason == reason
