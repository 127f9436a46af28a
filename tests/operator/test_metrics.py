"""What Prometheus sees of a task's life, and what the kubelet is told."""

from datetime import timedelta

import aiohttp
import pytest
from prometheus_client import generate_latest
from tests.operator.builders import task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import Post, Process, live

from agenttask_operator.health import Vitals
from agenttask_operator.kinds import TASKS
from agenttask_operator.metrics import Gauges, Metrics
from agenttask_operator.observed import Key
from agenttask_operator.web import WebServer


@pytest.fixture
def cluster():
    fake = FakeCluster()
    fake.put(TASKS, task_object())
    return fake


def watched(process) -> tuple[Metrics, Gauges]:
    metrics = Metrics()
    gauges = Gauges(process.cache, process.queue, process.reconciler.memories)
    metrics.registry.register(gauges)
    process.reconciler.actor.on_end = metrics.ended
    return metrics, gauges


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


async def test_finished_run_is_counted_once_with_its_durations(cluster):
    process = Process(cluster, Post())
    metrics, _ = watched(process)
    await live(cluster, process)
    await process.work(60)
    ended = {"phase": "Succeeded", "reason": "Completed", "role": "DEV", "class": ""}
    assert value(metrics, "agenttask_runs_ended_total", **ended) == 1
    assert value(metrics, "agenttask_phase_seconds_count", phase="Running") == 1
    assert value(metrics, "agenttask_phase_seconds_count", phase="Pending") == 1


async def test_end_that_nats_lacks_is_pending_until_it_is_taken(cluster):
    post = Post(up=False)
    process = Process(cluster, post)
    metrics, gauges = watched(process)
    await live(cluster, process)
    gauges.now = process.now + timedelta(seconds=90)
    assert value(metrics, "agenttask_outbox_pending") == 1
    assert value(metrics, "agenttask_outbox_lag_seconds") == 90
    post.up = True
    process.reconciler.retry_publications()
    await process.work(1)
    assert value(metrics, "agenttask_outbox_pending") == 0
    ended = {"phase": "Succeeded", "reason": "Completed", "role": "DEV", "class": ""}
    assert value(metrics, "agenttask_runs_ended_total", **ended) == 1


async def test_unfinished_tasks_are_counted_by_phase_role_and_class(cluster):
    process = Process(cluster)
    metrics, gauges = watched(process)
    process.look()
    process.queue.add(Key("team", "fix"))
    gauges.vitals = Vitals(heard={"jobs": 12.5, "pods": None}, lag=0.25)
    gauges.leading = True
    gauges.events = (7, 2)
    kind = {"role": "DEV", "class": ""}
    assert value(metrics, "agenttask_tasks", phase="Pending", **kind) == 1
    assert value(metrics, "agenttask_queue_depth") == 1
    assert value(metrics, "agenttask_leader") == 1
    assert value(metrics, "agenttask_events_waiting") == 7
    assert value(metrics, "agenttask_events_dropped_total") == 2
    assert value(metrics, "agenttask_watch_age_seconds", watch="jobs") == 12.5
    assert value(metrics, "agenttask_watch_age_seconds", watch="pods") is None


def test_requests_and_reconciles_are_counted_by_outcome():
    metrics = Metrics()
    metrics.requested("GET", 429, 0.02)
    metrics.reconciled("unavailable", 0.5)
    labels = {"method": "GET", "code": "429"}
    assert value(metrics, "agenttask_api_request_seconds_count", **labels) == 1
    assert value(metrics, "agenttask_reconcile_seconds_sum", outcome="unavailable") == 0.5


async def test_paths_answer_with_what_is_wrong():
    wrong, metrics = ["the workers are stuck"], Metrics()
    server = WebServer(lambda: "", lambda: wrong[0], lambda: generate_latest(metrics.registry))
    port = await server.start("127.0.0.1", 0)
    try:
        assert await ask(port, "/healthz") == (200, "ok\n")
        assert await ask(port, "/readyz") == (503, "the workers are stuck\n")
        wrong[0] = ""
        assert (await ask(port, "/readyz"))[0] == 200
        assert "# TYPE agenttask_reconcile_seconds histogram" in (await ask(port, "/metrics"))[1]
    finally:
        await server.stop()


async def ask(port, path):
    async with aiohttp.ClientSession() as session:
        reply = await session.get(f"http://127.0.0.1:{port}{path}")
        return reply.status, await reply.text()
