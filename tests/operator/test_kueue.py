"""A Job that another party suspends, resumes and evicts, as Kueue does: its protocol, not Kueue.

Kueue sets `spec.suspend`, puts its flavour's node selector and tolerations into the pod
template while the Job is suspended, and suspends a running Job again to make room.
"""

from typing import Any

import pytest
import yaml
from tests.operator.builders import dead, digest, pod_object, running, task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import Process

from agenttask_api import names
from agenttask_operator.clock import format_time
from agenttask_operator.kinds import JOBS, PODS, TASKS
from agenttask_testbed import chart

Object = dict[str, Any]
QUEUED: Object = {"queue": {"name": "team"}, "limits": {"startDeadlineSeconds": 60}}
FLAVOUR: Object = {"nodeSelector": {"pool": "spot"}, "tolerations": [{"key": "spot"}]}
LONG = 5000.0
"""Seconds: many times the start deadline."""


@pytest.fixture
def cluster() -> FakeCluster:
    fake = FakeCluster()
    fake.put(TASKS, task_object(**QUEUED))
    return fake


@pytest.fixture
async def process(cluster: FakeCluster) -> Process:
    """An operator that has created the task's Job, and said that it waits."""
    found = Process(cluster)
    await found.work()
    await found.work(LONG)
    return found


def job(cluster: FakeCluster) -> Object:
    (found,) = cluster.all(JOBS)
    return found


def kueue(cluster: FakeCluster, process: Process, suspend: bool) -> Object:
    """Admit the Job or evict it; return it as it then is."""
    changed = job(cluster)
    changed["spec"]["suspend"] = suspend
    changed.setdefault("status", {})
    if suspend:
        changed["status"].pop("startTime", None)
        for pod in cluster.all(PODS):
            del cluster.objects[PODS.plural, "team", pod["metadata"]["name"]]
    else:
        changed["spec"]["template"]["spec"] |= FLAVOUR
        changed["status"]["startTime"] = format_time(process.now)
    return cluster.put(JOBS, changed)


def key_of(cluster: FakeCluster) -> str:
    return str(job(cluster)["metadata"]["labels"][names.LABEL_RUN_KEY])


def begin(cluster: FakeCluster) -> None:
    agent = running(names.AGENT, since=0)
    cluster.put(PODS, pod_object(agent, phase="Running", key=key_of(cluster)))


def said(cluster: FakeCluster) -> tuple[str, str]:
    return cluster.status["phase"], cluster.status["reason"]


async def test_however_long_the_queue_is_the_start_deadline_does_not_run(cluster, process):
    assert said(cluster) == ("Queued", "QueueNotAdmitted")
    await process.work(LONG)
    assert said(cluster) == ("Queued", "QueueNotAdmitted")
    assert job(cluster)["spec"]["suspend"] is True
    assert "delete job" not in cluster.writes


async def test_what_kueue_writes_into_the_job_stays(cluster, process):
    admitted = kueue(cluster, process, suspend=False)
    begin(cluster)
    for _ in range(3):
        await process.work(10)
    assert said(cluster) == ("Running", "Running")
    assert job(cluster) == admitted
    assert job(cluster)["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "spot"}


async def test_job_evicted_without_last_words_waits_again_and_is_neither_resumed_nor_replaced(
    cluster, process
):
    kueue(cluster, process, suspend=False)
    begin(cluster)
    await process.work(10)
    evicted = kueue(cluster, process, suspend=True)
    for _ in range(3):
        await process.work(LONG)
    assert said(cluster) == ("Queued", "QueueNotAdmitted")
    assert job(cluster) == evicted
    assert cluster.writes.count("create job") == 1


async def test_last_words_of_an_evicted_agent_end_the_task(cluster, process):
    """A pod that is deleted while its agent works settles its outcome: one run, never two."""
    kueue(cluster, process, suspend=False)
    begin(cluster)
    await process.work(10)
    key = key_of(cluster)
    evicted = kueue(cluster, process, suspend=True)
    courier = dead(names.COURIER, 0, digest("NoResult", "Failed", run_key=key))
    pod = pod_object(courier, dead(names.AGENT, 143), phase="Failed", key=key, deletion=process.now)
    cluster.put(PODS, pod)
    for _ in range(3):
        await process.work(10)
    assert said(cluster) == ("Failed", "NoResult")
    assert job(cluster) == evicted
    assert cluster.writes.count("create job") == 1


async def test_readmitted_job_ends_as_any_other(cluster, process):
    for suspend in (False, True, False):
        kueue(cluster, process, suspend)
        await process.work(10)
    key = key_of(cluster)
    courier = dead(names.COURIER, 0, digest(run_key=key))
    cluster.put(PODS, pod_object(courier, dead(names.AGENT, 0), phase="Succeeded", key=key))
    await process.work(10)
    assert said(cluster) == ("Succeeded", "Completed")
    assert cluster.writes.count("create job") == 1


async def test_job_admitted_after_all_must_start_within_the_deadline(cluster, process):
    kueue(cluster, process, suspend=False)
    await process.work(30)
    assert "delete job" not in cluster.writes
    await process.work(40)
    await process.work(10)
    assert said(cluster) == ("Failed", "StartDeadlineExceeded")


@pytest.mark.parametrize("admitted", [False, True])
async def test_cancel_ends_the_task_in_the_queue_and_out_of_it(cluster, process, admitted):
    if admitted:
        kueue(cluster, process, suspend=False)
    task = cluster.task
    task["spec"]["cancel"] = True
    task["metadata"]["generation"] += 1
    cluster.put(TASKS, task)
    for _ in range(4):
        await process.work(10)
    assert cluster.status["phase"] == "Cancelled"
    assert cluster.all(JOBS) == []


def test_the_operator_has_no_right_to_change_a_job():
    roles = [
        o
        for o in yaml.safe_load_all(chart.install_yaml())
        if o and o["kind"] in ("ClusterRole", "Role")
    ]
    rules = [rule for role in roles for rule in role["rules"] if "jobs" in rule["resources"]]
    assert rules
    assert not {"update", "patch", "*"} & {verb for rule in rules for verb in rule["verbs"]}
