"""Hundreds of tasks at once: each gets its Job, all namespaces their share, and nothing is kept."""

from tests.operator.builders import class_object, dead, digest, pod_object, task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import Post
from tests.operator.watching import Watching

from agenttask_api import names
from agenttask_operator.kinds import CLASSES, JOBS, PODS, TASKS
from agenttask_operator.turns import Limits

TASKS_EACH = {"loud": 240, "quiet": 30, "still": 30}
PLACES = 30


def tasks():
    """Return all tasks; the loud namespace was first."""
    for namespace, count in TASKS_EACH.items():
        for number in range(count):
            obj = task_object()
            uid = f"{namespace}-{number}"
            obj["metadata"] |= {"name": f"t-{number}", "namespace": namespace, "uid": uid}
            yield obj


def end_all(cluster):
    """Let every Job's pod end well."""
    for job in cluster.all(JOBS):
        if job.get("status", {}).get("conditions"):
            continue
        metadata = job["metadata"]
        key = metadata["labels"][names.LABEL_RUN_KEY]
        over = [dead(names.COURIER, 0, digest(run_key=key)), dead(names.AGENT, 0)]
        pod = pod_object(*over, phase="Succeeded", key=key, name=f"{metadata['name']}-pod")
        pod["metadata"] |= {"namespace": metadata["namespace"], "labels": metadata["labels"]}
        cluster.put(PODS, pod)
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        cluster.put(JOBS, job)


async def test_burst_is_served_in_turns_and_leaves_nothing_behind():
    cluster = FakeCluster()
    cluster.put(CLASSES, class_object(model={"endpoint": "http://x", "maxConcurrentTasks": 10000}))
    for obj in tasks():
        cluster.put(TASKS, obj)
    process = Watching(cluster, Post(), Limits(total=PLACES), rounds=20000)
    await process.resync()
    await process.work(1)

    first = [j["metadata"]["namespace"] for j in cluster.all(JOBS)]
    assert len(first) == PLACES
    assert {n: first.count(n) for n in TASKS_EACH} == {n: PLACES // 3 for n in TASKS_EACH}

    for _ in range(60):
        end_all(cluster)
        await process.work(1)
        if not process.cache.tasks:
            break

    total = sum(TASKS_EACH.values())
    assert len(cluster.all(JOBS)) == cluster.writes.count("create job") == total
    phases = [t["status"]["phase"] for t in cluster.all(TASKS)]
    assert phases == ["Succeeded"] * total
    assert process.cache.tasks == {}
    assert process.reconciler.memories == {}
    assert len(process.cache.finished) == total
    # Two status writes each at most, and one for the place in the queue.
    assert cluster.writes.count("patch status") <= 3 * total
