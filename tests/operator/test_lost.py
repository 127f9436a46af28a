"""A Job that somebody deleted: what NATS was told of its run counts, else it is lost."""

from datetime import timedelta

import pytest
from tests.operator.builders import UID, pod_object, run_key, running, task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import KEY, Post, Process

from agenttask_api import names
from agenttask_api.result import AgentResult, Change, ResultArtifacts
from agenttask_operator.kinds import JOBS, PODS, TASKS
from agenttask_operator.observed import parse_pod


def result(stop_reason="Completed", key="", success=True):
    change = Change(
        base_commit="b" * 40,
        commit_sha="c" * 40,
        branch="agenttask/fix",
        pushed=True,
        files_changed=("a.py",),
        insertions=3,
    )
    return AgentResult(
        event_id="e",
        ts="2026-11-23T12:00:03Z",
        trace_id="0" * 32,
        task_id="team.fix",
        run_key=key or run_key(),
        pod_uid="pod-fix-1",
        success=success,
        verdict="Verified" if success else "",
        stop_reason=stop_reason,
        message="somebody deleted the Job" if stop_reason == "JobLost" else "",
        artifacts=ResultArtifacts(change=change),
    )


class Remembering(Post):
    """NATS that knows a result of the task."""

    def __init__(self, known):
        super().__init__()
        self.known, self.asked = known, []

    async def fetch_result(self, task_id, sha256):
        self.asked.append((task_id, sha256))
        return self.known


async def robbed(post):
    """Delete Job and pod of a running task behind a process that did not see its end."""
    cluster = FakeCluster()
    cluster.put(TASKS, task_object())
    process = Process(cluster, post)
    await process.work()
    cluster.put(PODS, pod := pod_object(running(names.AGENT), phase="Running"))
    await process.work(6)
    for kind in (JOBS, PODS):
        for obj in cluster.all(kind):
            del cluster.objects[kind.plural, "team", obj["metadata"]["name"]]
    process.cache.end_pod(parse_pod(pod))
    for job in process.cache.jobs_of(UID):
        process.cache.drop_job(job.key)
    process.now += timedelta(seconds=1)
    await process.reconciler.reconcile(KEY)
    return cluster


async def test_run_that_nats_knows_to_have_succeeded_has_succeeded():
    post = Remembering(result())
    cluster = await robbed(post)
    status = cluster.status
    assert post.asked == [("team.fix", "")]
    assert (status["phase"], status["verdict"]) == ("Succeeded", "Verified")
    assert status["artifacts"]["commitSHA"] == "c" * 40
    assert status["artifacts"]["branch"] == "agenttask/fix"
    assert status["run"]["completionTime"] == "2026-11-23T12:00:03Z"
    assert cluster.writes.count("create job") == 1


async def test_run_that_nats_knows_to_have_failed_has_failed_for_that_reason():
    cluster = await robbed(Remembering(result("BudgetExceeded", success=False)))
    assert (cluster.status["phase"], cluster.status["reason"]) == ("Failed", "BudgetExceeded")


@pytest.mark.parametrize(
    "known",
    [
        None,
        result(key="1-00000000"),
        result("NoResult", success=False),
        result("JobLost", success=False),
    ],
)
async def test_run_of_which_nats_knows_nothing_of_use_is_lost(known):
    post = Remembering(known)
    cluster = await robbed(post)
    assert post.asked
    assert (cluster.status["phase"], cluster.status["reason"]) == ("Failed", "JobLost")
    assert cluster.status["message"].count("somebody deleted the Job") == 1
    assert cluster.writes.count("create job") == 1
