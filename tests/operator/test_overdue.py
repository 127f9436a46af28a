"""An API server that was away for longer than the start deadline: the clock went on, and so did
the pods, of which we have heard nothing."""

from datetime import timedelta

import pytest
from tests.operator.builders import UID, pod_object, running, task_object, waiting
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import ENDED, KEY, Process

from agenttask_api import names
from agenttask_operator.kinds import JOBS, PODS, TASKS

OUTAGE_SECONDS = 700
"""The start deadline is 600 s where nobody says otherwise."""
PENDING = pod_object(waiting(names.AGENT, "PodInitializing"))
AT_WORK = pod_object(running(names.AGENT), phase="Running")


@pytest.fixture
def cluster() -> FakeCluster:
    fake = FakeCluster()
    fake.put(TASKS, task_object())
    return fake


async def after_the_outage(cluster: FakeCluster) -> Process:
    """A process that has last seen a pending pod, and that long ago."""
    process = Process(cluster)
    await process.work()
    cluster.put(PODS, PENDING)
    await process.work(1)
    process.now += timedelta(seconds=OUTAGE_SECONDS)
    return process


async def test_run_that_ended_well_meanwhile_has_ended_well(cluster: FakeCluster) -> None:
    process = await after_the_outage(cluster)
    cluster.put(PODS, ENDED)
    await process.reconciler.reconcile(KEY)
    assert cluster.status["phase"] == "Succeeded"
    assert "delete job" not in cluster.writes


async def test_run_whose_agent_has_started_meanwhile_goes_on(cluster: FakeCluster) -> None:
    process = await after_the_outage(cluster)
    cluster.put(PODS, AT_WORK)
    await process.reconciler.reconcile(KEY)
    assert cluster.status["phase"] == "Running"
    assert "delete job" not in cluster.writes


async def test_job_that_was_suspended_meanwhile_is_not_given_up(cluster: FakeCluster) -> None:
    process = await after_the_outage(cluster)
    (job,) = cluster.all(JOBS)
    job["spec"]["suspend"] = True
    cluster.put(JOBS, job)
    await process.reconciler.reconcile(KEY)
    assert "delete job" not in cluster.writes


async def test_run_that_has_not_started_is_given_up_and_its_job_deleted_once(
    cluster: FakeCluster,
) -> None:
    process = await after_the_outage(cluster)
    # No watch tells of the deletion: that it is done must be known all the same.
    for _ in range(3):
        await process.reconciler.reconcile(KEY)
    assert process.cache.jobs_of(UID) == ()
    await process.work(1)
    assert cluster.status["reason"] == "StartDeadlineExceeded"
    assert cluster.writes.count("delete job") == 1
