"""Who may start, on the real API server: limits, turns, models that are away, Kueue's queue."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.chaos.harness import Api, Object
from tests.e2e.tasks import eventually
from tests.servers.nats import free_port
from tests.servers.vllmmetrics import vllm_metrics

FLOOD = 20
GREAT_FLOOD = 5000
QUEUED_PER_SECOND = 20
"""Far fewer than are told their place; the control plane has but two processors in CI."""
PLACES = 5


@pytest.fixture
def neighbour(api: Api, space: str) -> Iterator[str]:
    """Another tenant's namespace."""
    name = f"{space}-two"
    api.make_namespace(name)
    yield name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def class_name(api: Api, space: str) -> Iterator[str]:
    """A name for a class of the test's own."""
    yield f"class-{space}"
    api.request("DELETE", f"/apis/agenttask.dev/v1alpha1/agentclasses/class-{space}")


def status(api: Api, space: str, name: str) -> Object:
    return dict(api.task(space, name).get("status") or {})


def class_status(api: Api, name: str) -> Object:
    found = api.get(f"/apis/agenttask.dev/v1alpha1/agentclasses/{name}").get("status") or {}
    return {
        "running": found.get("running"),
        "queued": found.get("queued"),
        **{c["type"]: c["status"] for c in found.get("conditions") or []},
    }


def waits_for_model(api: Api, space: str, name: str) -> None:
    eventually(
        lambda: status(api, space, name).get("reason") == "ModelAtCapacity", 30, f"{name} to wait"
    )


class Model(ThreadingHTTPServer):
    """An endpoint that is well and tells its load."""

    metrics = vllm_metrics(0, 0)


@contextmanager
def healthy_model(port: int) -> Iterator[Model]:
    """Answer 200 to everything on that port until the block ends."""
    server = Model(("127.0.0.1", port), Healthy)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Healthy(BaseHTTPRequestHandler):
    """Answers for the model."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Model)
        text = self.server.metrics if self.path == "/metrics" else "{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


@pytest.mark.parametrize("flood", [FLOOD, pytest.param(GREAT_FLOOD, marks=pytest.mark.slow)])
def test_one_tenants_flood_does_not_delay_anothers_task(api, space, neighbour, operator, flood):
    one = operator("one", NAMESPACES=f"{space},{neighbour}", MAX_TASKS=str(PLACES))
    one.start()
    one.ready()
    for number in range(flood):
        api.make_task(space, f"t-{number}")
    last = f"t-{flood - 1}"
    eventually(lambda: len(api.jobs(space)) == PLACES, 30, "the first tasks to start")
    patience = 60 + flood / QUEUED_PER_SECOND
    eventually(lambda: status(api, space, last).get("phase") == "Queued", patience, "a queue")
    assert "place" in status(api, space, last)["message"]

    api.make_task(neighbour, "alone")
    eventually(lambda: status(api, neighbour, "alone").get("reason") == "Queued", 30, "its place")
    assert "place 1 of" in status(api, neighbour, "alone")["message"]
    assert api.end_pods(space, 1) == 1

    # The one place that became free is the newcomer's, though so many came before it.
    eventually(lambda: api.jobs(neighbour), 30, "the other tenant's task to start")
    assert len(api.jobs(space)) == PLACES
    api.all_end(neighbour, 1)
    eventually(lambda: len(api.jobs(space)) == PLACES + 1, 30, "its place to be given on")
    if flood == FLOOD:
        api.all_end(space, FLOOD)
        api.one_job_each(space, FLOOD)


def test_classs_limit_and_priority_decide_and_its_status_tells(api, space, class_name, operator):
    port = free_port()
    with healthy_model(port):
        url = f"http://127.0.0.1:{port}"
        api.make_class(class_name, endpoint=url, maxConcurrentTasks=1)
        one = operator("one", MODEL_PROBE_SECONDS="1")
        one.start()
        one.ready()
        api.make_task(space, "first", class_name)
        eventually(lambda: len(api.jobs(space)) == 1, 30, "the first task to start")
        api.make_task(space, "later", class_name)
        api.make_task(space, "urgent", class_name, queue={"priority": 9})
        for name in ("later", "urgent"):
            waits_for_model(api, space, name)
        told = {"running": 1, "queued": 2, "Ready": "True", "ModelReachable": "True"}
        eventually(lambda: told.items() <= class_status(api, class_name).items(), 30, "its load")

        api.end_pods(space)
        eventually(lambda: len(api.jobs(space)) == 2, 30, "another task to start")
        names = {j["metadata"]["labels"]["agenttask.dev/task"] for j in api.jobs(space)}
        assert names == {"first", "urgent"}
        api.all_end(space, 3)


def test_model_that_is_away_holds_tasks_back_until_it_is_there(api, space, class_name, operator):
    port = free_port()
    api.make_class(class_name, endpoint=f"http://127.0.0.1:{port}")
    one = operator("one", MODEL_PROBE_SECONDS="1")
    one.start()
    one.ready()
    away = {"ModelReachable": "False", "Ready": "False"}
    eventually(lambda: away.items() <= class_status(api, class_name).items(), 30, "its state")
    api.make_task(space, "held", class_name, limits={"startDeadlineSeconds": 10})
    held = eventually(
        lambda: (s := status(api, space, "held")).get("reason") == "ModelUnavailable" and s,
        30,
        "the task to be held",
    )
    assert held["phase"] == "Queued"
    assert not held["run"].get("acceptedTime")
    assert api.jobs(space) == []

    with healthy_model(port):
        eventually(lambda: api.jobs(space), 30, "the task to start")
        api.all_end(space, 1)


def test_server_with_a_long_queue_holds_tasks_back_until_it_is_short(
    api, space, class_name, operator
):
    port = free_port()
    with healthy_model(port) as model:
        model.metrics = vllm_metrics(running=256, waiting=581)
        api.make_class(class_name, endpoint=f"http://127.0.0.1:{port}")
        one = operator("one", MODEL_PROBE_SECONDS="1")
        one.start()
        one.ready()
        eventually(
            lambda: class_status(api, class_name).get("ModelReachable") == "True", 30, "its state"
        )
        api.make_task(space, "held", class_name, limits={"startDeadlineSeconds": 10})
        held = eventually(
            lambda: (s := status(api, space, "held")).get("reason") == "ModelAtCapacity" and s,
            15,
            "the task to be held",
        )
        assert held["phase"] == "Queued"
        assert "more requests waiting than it works on" in held["message"]
        assert not held["run"].get("acceptedTime")
        assert api.jobs(space) == []

        model.metrics = vllm_metrics(running=256, waiting=12)

        eventually(lambda: api.jobs(space), 15, "the task to start")
        api.all_end(space, 1)


def test_kueues_queue_decides_when_the_job_runs(api, space, operator):
    """Against Kueue's protocol: this test admits the Job, as Kueue would."""
    one = operator("one")
    one.start()
    one.ready()
    api.make_task(space, "queued", queue={"name": "team"}, limits={"startDeadlineSeconds": 10})
    state = eventually(
        lambda: (s := status(api, space, "queued")).get("reason") == "QueueNotAdmitted" and s,
        30,
        "the task to wait for the queue",
    )
    assert state["phase"] == "Queued"
    job = api.jobs(space)[0]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert job["spec"]["suspend"] is True

    path = f"/apis/batch/v1/namespaces/{space}/jobs/{job['metadata']['name']}"
    api.request("PATCH", path, {"spec": {"suspend": False}})
    api.all_end(space, 1)


def test_task_that_kueue_never_admits_can_be_cancelled(api, space, operator):
    one = operator("one")
    one.start()
    one.ready()
    api.make_task(space, "queued", queue={"name": "team"})
    eventually(
        lambda: status(api, space, "queued").get("reason") == "QueueNotAdmitted", 30, "it to wait"
    )
    path = f"/apis/agenttask.dev/v1alpha1/namespaces/{space}/agenttasks/queued"
    api.request("PATCH", path, {"spec": {"cancel": True}})
    eventually(lambda: status(api, space, "queued").get("phase") == "Cancelled", 30, "the end")
    eventually(lambda: api.jobs(space) == [], 30, "the Job to go")
