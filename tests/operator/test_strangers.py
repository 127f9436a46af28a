"""Odd but lawful worlds: names used twice, fields that flap, storms, histories that go back."""

import copy

import pytest
from tests.operator.builders import class_object, dead, digest, pod_object, running, task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import Post
from tests.operator.watching import Watching

from agenttask_api import names
from agenttask_operator.errors import Refused
from agenttask_operator.kinds import CLASSES, JOBS, PODS, TASKS
from agenttask_operator.observed import Key

KEY = Key("team", "fix")


async def begin(*tasks):
    cluster = FakeCluster()
    cluster.put(CLASSES, class_object())
    for task in tasks or (task_object(),):
        cluster.put(TASKS, task)
    process = Watching(cluster, Post())
    await process.resync()
    await process.work(1)
    return cluster, process


def named(name, uid="", namespace="team", **spec):
    obj = task_object(**spec)
    obj["metadata"] |= {"name": name, "namespace": namespace, "uid": uid or f"uid-{name}"}
    return obj


def at_work(cluster, name="fix-1"):
    """Let a pod of the newest Job run."""
    key = cluster.all(JOBS)[-1]["metadata"]["labels"][names.LABEL_RUN_KEY]
    cluster.put(PODS, pod_object(running(names.AGENT), phase="Running", key=key, name=name))


def change(cluster, name="fix", **spec):
    """Change a task's spec, as a user does."""
    task = next(t for t in cluster.all(TASKS) if t["metadata"]["name"] == name)
    task["metadata"]["generation"] += 1
    cluster.put(TASKS, task | {"spec": task["spec"] | spec})


async def test_task_made_again_under_its_name_is_another_task():
    cluster, process = await begin()
    at_work(cluster)
    await process.work(1)
    assert cluster.status["phase"] == "Running"
    old = cluster.all(JOBS)[0]["metadata"]["name"]

    # The garbage collector has not come yet: Job and pod of the old one are still there.
    cluster.remove(TASKS, cluster.task)
    cluster.put(TASKS, named("fix", uid="another"))
    for _ in range(3):
        await process.work(10)

    new = [j["metadata"] for j in cluster.all(JOBS) if j["metadata"]["name"] != old]
    assert [m["ownerReferences"][0]["uid"] for m in new] == ["another"]
    assert cluster.status["phase"] == "Pending"
    assert cluster.status["run"]["number"] == 1


async def test_flapping_suspend_costs_one_write_for_each_state_and_one_job_in_all():
    cluster, process = await begin(task_object(suspend=True))
    before = cluster.writes.count("patch status")
    for number in range(10):
        for _ in range(20):
            change(cluster, suspend=not cluster.task["spec"]["suspend"])
        await process.work(1)
        assert cluster.writes.count("patch status") - before <= number + 1
    assert cluster.all(JOBS) == []
    change(cluster, suspend=False)
    for _ in range(3):
        await process.work(8)
    assert cluster.writes.count("create job") == 1


async def test_one_hot_task_is_written_no_more_and_delays_nobody():
    cluster, process = await begin(named("hot"), named("other", suspend=True))
    await process.work(10)
    cluster.put(PODS, pod_object())
    writes = len(cluster.writes)
    for number in range(500):
        hot = next(t for t in cluster.all(TASKS) if t["metadata"]["name"] == "hot")
        hot["metadata"]["labels"] = {"storm": str(number)}
        cluster.put(TASKS, hot)
    change(cluster, "other", suspend=False)
    await process.work(1)
    assert cluster.writes[writes:].count("create job") == 1
    assert len(cluster.writes) - writes <= 2


async def test_poison_task_backs_off_alone():
    cluster, process = await begin(named("good", suspend=True))
    poison = named("poison", namespace="dark")
    cluster.put(CLASSES, class_object(allowedNamespaces={"matchLabels": {"a": "b"}}))
    cluster.objects["namespaces", "", "team"] = {"metadata": {}}
    # A namespace as no API server would ever answer.
    cluster.objects["namespaces", "", "dark"] = {"metadata": None}
    cluster.put(TASKS, poison)
    with pytest.raises(AttributeError):
        await process.work(1)
    cluster.put(CLASSES, class_object())
    change(cluster, "good", suspend=False)
    await process.work(1)
    assert "good" in {j["metadata"]["labels"][names.LABEL_TASK] for j in cluster.all(JOBS)}


async def test_history_that_goes_back_neither_blinds_nor_starts_anything_again():
    """etcd is restored from a backup that was made while the task ran."""
    cluster, process = await begin()
    backup, version = copy.deepcopy(cluster.objects), cluster.version
    at_work(cluster)
    await process.work(1)
    assert cluster.status["phase"] == "Running"

    await process.resync()
    cluster.objects, cluster._version = backup, int(version)
    await process.resync()
    await process.work(10)

    assert cluster.writes.count("create job") == 1
    assert cluster.status["phase"] == "Pending"
    assert process.cache.tasks[KEY].resource_version == cluster.task["metadata"]["resourceVersion"]
    at_work(cluster, "fix-2")
    await process.work(10)
    assert cluster.status["phase"] == "Running"


async def test_status_of_a_newer_operator_is_read_and_its_job_goes_on():
    """A downgrade under a running task: fields, words and conditions of which we know nothing."""
    cluster, process = await begin()
    at_work(cluster)
    await process.work(1)
    conditions = [*cluster.status["conditions"], {"type": "Novel", "status": "True"}]
    newer = {"reason": "Pondering", "novelty": {"a": [1]}, "conditions": conditions}
    cluster.put(TASKS, cluster.task | {"status": cluster.status | newer})

    older = Watching(cluster, Post())
    older.now = process.now
    await older.resync()
    for _ in range(3):
        await older.work(8)

    assert cluster.writes.count("create job") == 1
    assert (cluster.status["phase"], cluster.status["reason"]) == ("Running", "Running")
    ended = [dead(names.COURIER, 0, digest(run_key=cluster.status["run"]["key"]))]
    ended.append(dead(names.AGENT, 0))
    cluster.put(PODS, pod_object(*ended, phase="Succeeded", key=cluster.status["run"]["key"]))
    await older.work(8)
    assert cluster.status["phase"] == "Succeeded"


async def test_status_that_the_schema_refuses_stops_nothing_else():
    """As with a CRD of another version: the write fails, and the Job is there nevertheless."""
    cluster, process = await begin(task_object(suspend=True))

    async def refuse(*_args):
        raise Refused("PATCH: 422 AgentTask is invalid")

    cluster.patch_status = refuse
    change(cluster, suspend=False)
    await process.work(8)
    with pytest.raises(Refused):
        await process.work(8)
    assert len(cluster.all(JOBS)) == 1
