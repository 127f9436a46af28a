"""Run once: a task that is deleted and applied again unchanged shows how its run ended."""

import pytest
from tests.operator.builders import UID, class_object, dead, pod_object, task_object
from tests.operator.fakecluster import Crash, FakeCluster
from tests.operator.fakeledger import FakeLedger
from tests.operator.test_reconcile import ENDED, KEY, Post, Process, live

from agenttask_api import names
from agenttask_api.ledger import entry_key
from agenttask_api.reasons import RERUN_HINT
from agenttask_api.result import AgentResult, Change, ResultArtifacts
from agenttask_operator.errors import Forbidden
from agenttask_operator.kinds import JOBS, PODS, TASKS
from agenttask_operator.observed import parse_class

OTHER = f"{UID[:-1]}2"


class Stage:
    """One NATS; a cluster or two; a process for each."""

    def __init__(self, ledger=None, on_unavailable="Run"):
        self.cluster = FakeCluster()
        self.ledger = ledger or FakeLedger(self.cluster)
        self.post = Post()
        self.cluster.put(TASKS, task_object())
        self.process = Process(self.cluster, self.post, self.ledger)
        class_ = class_object(ledger={"onUnavailable": on_unavailable})
        self.process.cache.classes["standard"] = parse_class(class_)

    def apply_again(self, uid=OTHER, **spec):
        self.process.reconciler.forget(KEY)
        for kind in (JOBS, PODS):
            for obj in self.cluster.all(kind):
                del self.cluster.objects[kind.plural, "team", obj["metadata"]["name"]]
        obj = task_object(**spec)
        obj["metadata"]["uid"] = uid
        self.cluster.put(TASKS, obj)
        self.cluster.writes.clear()

    def conditions(self):
        return {c["type"]: c["status"] for c in self.cluster.status["conditions"]}


@pytest.fixture
def stage():
    return Stage()


async def test_good_run_is_shown_and_makes_no_job(stage):
    await live(stage.cluster, stage.process)
    before = stage.cluster.status
    stage.apply_again()
    await stage.process.work(1)
    after = stage.cluster.status
    assert stage.cluster.writes == ["patch status"]
    assert (after["phase"], after["verdict"]) == ("Succeeded", "Verified")
    assert after["artifacts"] == before["artifacts"]
    assert after["usage"] == before["usage"]
    assert after["run"]["jobName"] == before["run"]["jobName"]
    assert "has run before" in after["message"]
    assert stage.conditions()["Ready"] == "True"


async def test_failed_run_stays_failed_and_says_how_to_run_again(stage):
    await stage.process.work()
    killed = pod_object(dead(names.AGENT, 137, reason="OOMKilled"), phase="Failed")
    stage.cluster.put(PODS, killed)
    for job in stage.cluster.all(JOBS):
        job["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
        stage.cluster.put(JOBS, job)
    await stage.process.work(1)
    stage.apply_again()
    await stage.process.work(1)
    assert stage.cluster.status["reason"] == "OOMKilled"
    assert stage.cluster.status["message"].endswith(RERUN_HINT)
    assert stage.cluster.status["message"].count(RERUN_HINT) == 1
    found = stage.conditions()
    assert (found["Ready"], found["Stalled"]) == ("False", "True")
    assert "create job" not in stage.cluster.writes


async def test_new_run_id_runs(stage):
    await live(stage.cluster, stage.process)
    stage.apply_again(runID="2")
    await stage.process.work(1)
    assert stage.cluster.writes[0] == "create job"
    assert len(stage.ledger.entries) == 2


async def test_deletion_at_work_gives_run_interrupted_and_its_event(stage):
    await stage.process.work()
    stage.apply_again()
    await stage.process.work(1)
    assert stage.cluster.status["reason"] == "RunInterrupted"
    assert RERUN_HINT in stage.cluster.status["message"]
    assert "create job" not in stage.cluster.writes
    assert [i for i in stage.post.sent if i.endswith("/terminal")] == [
        f"{OTHER}/{stage.cluster.status['run']['key']}/terminal"
    ]


async def test_deleted_run_that_its_courier_told_of_is_not_interrupted(stage):
    await stage.process.work()
    told = AgentResult(
        event_id="e",
        ts="2026-11-23T12:00:00Z",
        trace_id="t",
        task_id="team.fix",
        run_key=stage.process.cache.tasks[KEY].spec.run_key(),
        pod_uid="p",
        success=True,
        verdict="Verified",
        stop_reason="Completed",
        artifacts=ResultArtifacts(change=Change(base_commit="b", commit_sha="c", pushed=True)),
    )

    async def fetch(_task_id, _sha256):
        return told

    stage.post.fetch_result = fetch
    stage.apply_again()
    await stage.process.work(1)
    assert (stage.cluster.status["phase"], stage.cluster.status["reason"]) == (
        "Succeeded",
        "Completed",
    )


async def test_two_clusters_on_one_nats_do_not_disturb_each_other(stage):
    await live(stage.cluster, stage.process)
    other = Stage(stage.ledger)
    other.process = Process(other.cluster, other.post, stage.ledger, "other-cluster")
    await live(other.cluster, other.process)
    assert other.cluster.writes[0] == "create job"
    assert sorted(k.split(".")[0] for k in stage.ledger.entries) == ["default", "other-cluster"]


async def test_ledger_away_runs_with_a_warning_that_stays(stage):
    stage.ledger.up = False
    await stage.process.work()
    stage.ledger.up = True
    await live(stage.cluster, stage.process)
    warned = [c for c in stage.cluster.status["conditions"] if c["type"] == "RunRecorded"]
    assert [(c["status"], c["reason"]) for c in warned] == [("False", "LedgerUnavailable")]
    assert stage.cluster.status["phase"] == "Succeeded"
    stage.apply_again()
    await stage.process.work(1)
    assert "create job" not in stage.cluster.writes


async def test_ledger_away_holds_where_the_class_says_so():
    stage = Stage(on_unavailable="Hold")
    stage.ledger.up = False
    for _ in range(3):
        await stage.process.work(4)
    assert stage.cluster.status["reason"] == "LedgerUnavailable"
    assert stage.cluster.status["phase"] == "Pending"
    assert not stage.cluster.all(JOBS)
    stage.ledger.up = True
    await stage.process.work(4)
    assert len(stage.cluster.all(JOBS)) == 1


async def test_held_task_is_looked_at_again_when_nats_is_back():
    stage = Stage(on_unavailable="Hold")
    stage.ledger.up = False
    await stage.process.work()
    assert len(stage.process.queue) == 0
    stage.process.reconciler.retry_publications()
    assert len(stage.process.queue) == 1


async def test_without_nats_there_is_no_ledger():
    cluster = FakeCluster()
    cluster.put(TASKS, task_object())
    await live(cluster, Process(cluster))
    conditions = {c["type"] for c in cluster.status["conditions"]}
    assert "RunRecorded" not in conditions
    assert cluster.status["phase"] == "Succeeded"


async def test_refused_job_leaves_no_entry(stage):
    stage.cluster.refuse_jobs = Forbidden("exceeded quota")
    await stage.process.work()
    assert not stage.ledger.entries


async def test_job_deleted_before_its_first_status_while_the_operator_was_away_is_lost(stage):
    await stage.process.work()
    assert "patch status" not in stage.cluster.writes
    for obj in stage.cluster.all(JOBS):
        del stage.cluster.objects[JOBS.plural, "team", obj["metadata"]["name"]]
    stage.process = Process(stage.cluster, stage.post, stage.ledger)
    await stage.process.work(1)
    assert stage.cluster.status["reason"] == "JobLost"
    assert stage.cluster.writes.count("create job") == 1


async def test_cancelled_before_its_start_may_yet_run(stage):
    stage.apply_again(cancel=True)
    await stage.process.work()
    assert stage.cluster.status["reason"] == "Cancelled"
    assert not stage.ledger.entries
    stage.apply_again(uid=f"{UID[:-1]}3")
    await stage.process.work(1)
    assert stage.cluster.writes[0] == "create job"


async def test_outcome_survives_job_and_pods_when_only_the_status_write_is_missing(stage):
    await stage.process.work()
    stage.cluster.put(PODS, ENDED)
    stage.cluster.fail_before = len(stage.cluster.steps) + 2
    with pytest.raises(Crash):
        await stage.process.work(1)
    assert stage.cluster.status["phase"] == "Pending"
    for kind in (JOBS, PODS):
        for obj in stage.cluster.all(kind):
            del stage.cluster.objects[kind.plural, "team", obj["metadata"]["name"]]
    stage.process = Process(stage.cluster, stage.post, stage.ledger)
    await stage.process.work(1)
    assert stage.cluster.status["reason"] == "Completed"


async def test_key_names_cluster_task_and_run(stage):
    await stage.process.work()
    run_key = stage.process.cache.tasks[KEY].spec.run_key()
    assert list(stage.ledger.entries) == [entry_key("default", "team", "fix", run_key)]
