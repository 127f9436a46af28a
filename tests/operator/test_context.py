"""Finished tasks leave a record, and later tasks get it: reconciler, real NATS, fake cluster."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.operator.builders import (
    NOW,
    UID,
    WITH_NATS,
    first,
    judged,
    make_facts,
    make_job,
    make_task,
    task_object,
)
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import Process
from tests.servers.nats import NatsServer, free_port, nats_binary

import nats
from agenttask_api import names
from agenttask_api.contextrecord import MAX_RECORD_BYTES, ContextRecord, ContextUpdated
from agenttask_api.result import AgentResult, Change, Operation, ResultArtifacts, Thought
from agenttask_api.status import AgentTaskStatus, ArtifactsStatus, Phase, Run
from agenttask_operator.actions import CreateJob, Publish
from agenttask_operator.contextrecords import build_record, record_messages
from agenttask_operator.errors import StoreUnavailable
from agenttask_operator.kinds import JOBS, TASKS
from agenttask_operator.observed import Key
from agenttask_operator.outbox import Outbox
from agenttask_operator.planner import plan

BEFORE = Key("team", "before")
KEY = Key("team", "fix")


def result(**more: Any) -> AgentResult:
    change = Change(base_commit="b", files_changed=("a.py", "b.py"))
    thoughts = (
        Thought(iteration=1, type="observation", content="looked"),
        Thought(iteration=2, type="decision", content="use integers"),
    )
    fields = {"reasoning_log": thoughts, "summary": "done", **more}
    return AgentResult(
        event_id="e", ts="t", trace_id="x", task_id="team.fix", run_key="1-a", pod_uid="p",
        success=True, verdict="Verified", stop_reason="Completed",
        operations=tuple(
            Operation(seq=n, operation="files.read_file", success=True) for n in range(3)
        ),
        artifacts=ResultArtifacts(change=change), **fields,
    )  # fmt: skip


def ended(task, **artifacts: Any) -> AgentTaskStatus:
    key = task.spec.run_key()
    left = {"base_commit": "b", "commit_sha": "c" * 40, "branch": "agenttask/fix", **artifacts}
    return AgentTaskStatus(
        phase=Phase.SUCCEEDED,
        reason="Completed",
        run=Run(id="1", key=key, completion_time="2026-11-23T12:00:00Z"),
        artifacts=ArtifactsStatus(**left),
    )


def test_a_record_holds_what_was_done():
    task = make_task()
    found = build_record(task, ended(task, files_changed_count=2), result())
    assert (found.commit, found.branch, found.files) == (
        "c" * 40,
        "agenttask/fix",
        ("a.py", "b.py"),
    )
    assert found.operations_by_name == {"files.read_file": 3}
    assert [d.content for d in found.decisions] == ["use integers"]
    assert (found.goal, found.repo) == ("fix it", "https://git.example/x.git")


def test_a_decision_carries_its_why_and_a_bare_call_is_left_out():
    task = make_task()
    thoughts = (
        Thought(iteration=1, type="analysis", content="Money is rounded too early."),
        Thought(iteration=1, type="decision", content="call files_edit_file"),
        Thought(iteration=2, type="decision", content="call tests_pytest"),
        Thought(iteration=3, type="conclusion", content="rounded at the end"),
    )
    found = build_record(task, ended(task), result(reasoning_log=thoughts))
    assert [d.content for d in found.decisions] == [
        "Money is rounded too early. (call files_edit_file)",
        "rounded at the end",
    ]


def test_a_record_without_a_result_tells_what_the_status_knows():
    task = make_task()
    found = build_record(task, ended(task, files_changed=("a.py",)), None)
    assert (found.files, found.decisions, found.summary) == (("a.py",), (), "")


def test_a_record_of_an_older_run_says_nothing_of_the_newer_spec():
    task = make_task(prompt="the newer work")
    status = ended(make_task())
    assert build_record(task, status, None).goal == ""


def test_a_huge_run_fits_and_says_that_it_was_cut():
    task = make_task()
    thoughts = tuple(Thought(iteration=n, type="decision", content="ü" * 5000) for n in range(90))
    files = tuple(f"{'d' * 400}/{n}.py" for n in range(5000))
    change = Change(base_commit="b", files_changed=files)
    huge = result(reasoning_log=thoughts).model_copy(
        update={"artifacts": ResultArtifacts(change=change)}
    )
    found = build_record(task, ended(task, files_changed_count=5000), huge)
    assert len(found.model_dump_json().encode()) <= MAX_RECORD_BYTES
    assert found.truncated
    assert (found.commit, found.files_count) == ("c" * 40, 5000)


def test_the_news_names_the_record_by_its_bytes():
    task = make_task()
    record, news = record_messages(task, ended(task), result(), WITH_NATS)
    told = ContextUpdated.model_validate_json(news.payload)
    assert told.sha256 == hashlib.sha256(record.payload).hexdigest()
    assert record.subject == f"$KV.{told.bucket}.{told.key}"
    assert news.subject == "context.updated.team.fix"
    ids = {dict(m.headers)["Nats-Msg-Id"] for m in (record, news)}
    assert len(ids) == 2


def test_every_end_is_recorded_before_it_is_told():
    facts = make_facts(jobs=(make_job(),), pods=(judged(),), defaults=WITH_NATS, result=result())
    subjects = [m.subject for m in first(plan(facts, NOW), Publish).messages]
    assert subjects[:2] == ["$KV.agent-context.default.team.fix", "context.updated.team.fix"]
    assert subjects[-1] == "agent.response.completed.team.fix"


# What a later task is given.


@dataclass
class Post:
    """NATS with a store."""

    records: dict[Key, ContextRecord] = field(default_factory=dict)
    up: bool = True

    async def publish(self, _messages):
        return self.up

    async def fetch_result(self, _task_id, _sha256):
        return None

    async def fetch_record(self, _cluster_id, key):
        if not self.up:
            raise StoreUnavailable("away")
        return self.records.get(key)


def referring(**spec: Any) -> dict[str, Any]:
    return task_object(contextFrom=[{"taskRef": {"name": "before"}}], **spec)


def before(status: dict[str, Any] | None = None) -> dict[str, Any]:
    obj = task_object(status, suspend=True)
    obj["metadata"] |= {"name": "before", "uid": UID.replace("6a", "7b")}
    return obj


def finished() -> dict[str, Any]:
    return ended(make_task()).to_api() | {"observedGeneration": 1}


def record_of(summary: str) -> ContextRecord:
    task = make_task()
    return build_record(task, ended(task), result(summary=summary))


def document(cluster: FakeCluster) -> dict[str, Any]:
    (job,) = cluster.all(JOBS)
    text = job["spec"]["template"]["metadata"]["annotations"][names.TASK_ANNOTATION]
    return dict(json.loads(text))


async def run(cluster: FakeCluster, post: Post | None = None, seconds: float = 0) -> Process:
    process = Process(cluster, post)
    await process.work()
    if seconds:
        await process.work(seconds)
    return process


@pytest.fixture
def cluster():
    fake = FakeCluster()
    fake.put(TASKS, referring(context="mine"))
    return fake


async def test_the_record_of_a_finished_task_is_in_the_document(cluster):
    cluster.put(TASKS, before(finished()))
    await run(cluster, Post({BEFORE: record_of("rounded to cents")}))
    context = document(cluster)["context"]
    assert context.startswith("mine\n\n## Task before\n")
    assert "rounded to cents" in context
    assert "c" * 40 in context


async def test_it_survives_the_deletion_of_the_task(cluster):
    await run(cluster, Post({BEFORE: record_of("rounded to cents")}))
    assert "rounded to cents" in document(cluster)["context"]


async def test_without_a_nats_the_status_is_enough(cluster):
    cluster.put(TASKS, before(finished()))
    await run(cluster)
    assert "c" * 40 in document(cluster)["context"]


async def test_nats_away_holds_up_no_task_whose_reference_is_there(cluster):
    cluster.put(TASKS, before(finished()))
    await run(cluster, Post(up=False))
    assert "c" * 40 in document(cluster)["context"]


async def test_an_older_runs_record_is_not_taken_for_the_newest(cluster):
    cluster.put(TASKS, before(finished()))
    old = record_of("of an older run").model_copy(update={"run_key": "0-old"})
    await run(cluster, Post({BEFORE: old}))
    assert "of an older run" not in document(cluster)["context"]


async def test_it_waits_for_an_unfinished_task_and_its_end_wakes_it(cluster):
    cluster.put(TASKS, before())
    process = await run(cluster, Post(), 4)
    assert not cluster.all(JOBS)
    status = (await cluster.get(TASKS, "fix", "team"))["status"]
    assert (status["phase"], status["reason"]) == ("Pending", "WaitingForTask")
    assert "'before'" in status["message"]
    cluster.put(TASKS, before(finished()))
    assert not len(process.queue)
    process.reconciler.wake_waiters(BEFORE)
    assert len(process.queue) == 1
    await process.work(1)
    assert len(cluster.all(JOBS)) == 1


async def test_an_unknown_task_is_named_and_may_still_come(cluster):
    process = await run(cluster, Post(), 4)
    status = (await cluster.get(TASKS, "fix", "team"))["status"]
    assert (status["phase"], status["reason"]) == ("Pending", "ReferenceNotFound")
    assert "'before'" in status["message"]
    cluster.put(TASKS, before(finished()))
    await process.work(20)
    assert len(cluster.all(JOBS)) == 1


async def test_unknown_while_nats_is_away_is_not_called_missing(cluster):
    process = await run(cluster, Post(up=False), 4)
    status = (await cluster.get(TASKS, "fix", "team"))["status"]
    assert status["reason"] == "WaitingForTask"
    assert "NATS" in status["message"]
    assert not cluster.all(JOBS)
    assert process.delays


async def test_a_task_that_refers_to_itself_is_refused(cluster):
    obj = task_object(contextFrom=[{"taskRef": {"name": "fix"}}])
    cluster.put(TASKS, obj)
    await run(cluster, Post())
    status = (await cluster.get(TASKS, "fix", "team"))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "InvalidSpec")
    assert "itself" in status["message"]


async def test_the_same_records_make_the_same_document(cluster):
    cluster.put(TASKS, before(finished()))
    texts = set()
    for _ in range(3):
        await run(cluster, Post({BEFORE: record_of("x" * 30000)}))
        texts.add(document(cluster)["context"])
        (job,) = cluster.all(JOBS)
        await cluster.delete_job("team", job["metadata"]["name"], "")
    assert len(texts) == 1
    assert len(texts.pop()) <= 4 * 4000 + 200


def test_a_task_under_way_asks_for_nothing():
    task = make_task(contextFrom=[{"taskRef": {"name": "before"}}])
    assert task.spec
    facts = make_facts(task, jobs=(make_job(task.spec.run_key()),))
    assert not [a for a in plan(facts, NOW) if isinstance(a, CreateJob)]


# The store itself.


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path, nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


async def test_records_are_kept_and_read_again(server):
    outbox = Outbox(server.url)
    outbox.start()
    task = make_task()
    try:
        assert await outbox.fetch_record("default", KEY) is None
        for summary in ("first", "second"):
            messages = record_messages(task, ended(task), result(summary=summary), WITH_NATS)
            fresh = tuple(
                m.__class__(m.subject, (("Nats-Msg-Id", f"{m.subject}{summary}"),), m.payload)
                for m in messages
            )
            assert await outbox.publish(fresh)
        found = await outbox.fetch_record("default", KEY)
        assert found
        assert found.summary == "second"
        assert await outbox.fetch_record("elsewhere", KEY) is None
        client = await nats.connect(server.url)
        store = await client.jetstream().key_value("agent-context")
        entry = await store.get("default.team.fix")
        assert ContextRecord.model_validate_json(entry.value or b"") == found
        status = await store.status()
        assert status.history == 1
        await client.close()
        server.stop()
        with pytest.raises(StoreUnavailable):
            await outbox.fetch_record("default", KEY)
    finally:
        await outbox.close()
