"""A task's life on the real API server, at the moments that no container can be made to hold."""

import asyncio
from collections.abc import Iterator

import pytest
from nats.aio.client import Client
from tests.chaos.harness import Api, Object, judged, over, running
from tests.chaos.home import Home, at_home
from tests.e2e.tasks import eventually

from agenttask_api import names
from agenttask_api.result import AgentResult, Change, ResultArtifacts


@pytest.fixture(scope="module")
def home(api: Api, crds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with at_home(api, crds.kubeconfig, tmp_path_factory.mktemp("life"), "life") as home:
        yield home


def test_task_is_cancelled_before_its_job_exists(home: Home) -> None:
    home.api.make_task(home.space, "early", suspend=True)
    home.until("early", reason="Suspended")
    home.api.request("PATCH", home.path("early"), {"spec": {"cancel": True}})
    home.until("early", phase="Cancelled", reason="Cancelled")
    assert home.jobs("early") == []


def test_task_is_cancelled_while_it_clones(home: Home) -> None:
    home.api.make_task(home.space, "cloning")
    home.api.say(home.pod("cloning"), "Pending", clone=running())
    home.until("cloning", reason="Cloning")
    home.api.request("PATCH", home.path("cloning"), {"spec": {"cancel": True}})
    home.until("cloning", phase="Cancelled", reason="Cancelled")
    eventually(lambda: not home.jobs("cloning"), 30, "the Job to go")
    eventually(lambda: not home.api.pods(home.space, "cloning"), 30, "the pod to go")


def test_attempt_that_never_reached_the_model_is_followed_by_another(home: Home) -> None:
    home.api.make_task(home.space, "retried", limits={"retries": 1})
    home.api.say(home.pod("retried"), "Failed", agent=over(names.EX_TEMPFAIL))
    second = home.pod("retried", 2)
    home.api.say(second, "Succeeded", courier=over(0, judged(second)), agent=over(0))
    state = home.until("retried", phase="Succeeded")
    assert [a["number"] for a in state["attempts"]] == [1, 2]
    assert state["attempts"][1]["reason"] == "Completed"
    assert state["attempts"][0]["podName"] != state["attempts"][1]["podName"]
    assert len(home.jobs("retried")) == 1


def test_task_may_be_deleted_at_any_moment(home: Home) -> None:
    home.api.make_task(home.space, "held", suspend=True)
    for name in ("pending", "working", "done"):
        home.api.make_task(home.space, name)
    home.until("held", reason="Suspended")
    home.pod("pending")
    home.api.say(home.pod("working"), "Running", clone=over(0), agent=running())
    home.until("working", phase="Running")
    done = home.pod("done")
    home.api.say(done, "Succeeded", courier=over(0, judged(done)), agent=over(0))
    home.until("done", phase="Succeeded")

    every = ("held", "pending", "working", "done")
    for name in every:
        home.api.request("DELETE", home.path(name))

    for name in every:
        goes(home, name)
    assert home.operator.alive


def goes(home: Home, name: str) -> None:
    """Wait until nothing is left of a deleted task."""

    def left() -> list[Object]:
        task = home.api.task(home.space, name)
        return [*filter(None, [task]), *home.jobs(name), *home.api.pods(home.space, name)]

    eventually(lambda: not left(), 60, f"all of {name} to go")


def test_job_that_was_deleted_after_its_result_was_stored_is_not_lost(home: Home) -> None:
    home.api.make_task(home.space, "robbed")
    pod = home.pod("robbed")
    home.api.say(pod, "Running", clone=over(0), agent=running())
    state = home.until("robbed", phase="Running")
    tell(home, state["run"]["key"], pod["metadata"]["uid"])

    job = home.jobs("robbed")[0]["metadata"]["name"]
    home.api.request("DELETE", f"/apis/batch/v1/namespaces/{home.space}/jobs/{job}?{BACKGROUND}")
    # The garbage collector takes its time.
    name = pod["metadata"]["name"]
    home.api.request("DELETE", f"/api/v1/namespaces/{home.space}/pods/{name}")

    state = home.until("robbed", phase="Succeeded", verdict="Verified")
    assert state["artifacts"]["commitSHA"] == "c" * 40
    assert home.jobs("robbed") == []


BACKGROUND = "propagationPolicy=Background"


def tell(home: Home, run_key: str, pod_uid: str) -> None:
    """Publish the result, as the courier does before its pod ends."""
    change = Change(base_commit="b" * 40, commit_sha="c" * 40, branch="x", pushed=True)
    result = AgentResult(
        event_id="e",
        ts="2026-11-23T12:00:03Z",
        trace_id="0" * 32,
        task_id=f"{home.space}.robbed",
        run_key=run_key,
        pod_uid=pod_uid,
        success=True,
        verdict="Verified",
        stop_reason="Completed",
        artifacts=ResultArtifacts(change=change),
    )

    async def send() -> None:
        client = Client()
        await client.connect(home.nats.url)
        subject = f"agent.results.{home.space}.robbed"
        await client.jetstream().publish(subject, result.model_dump_json(by_alias=True).encode())
        await client.close()

    asyncio.run(send())


def test_job_ends_and_its_task_goes_though_no_operator_runs(home: Home) -> None:
    """As after an uninstall: nothing waits for an operator, no finalizer above all."""
    home.api.make_task(home.space, "left")
    pod = home.pod("left")
    home.api.say(pod, "Running", clone=over(0), agent=running())
    home.until("left", phase="Running")
    home.operator.stop()
    home.api.say(pod, "Succeeded", courier=over(0, judged(pod)), agent=over(0))

    def over_now() -> bool:
        said = home.jobs("left")[0]["status"].get("conditions", [])
        return any(c["type"] == "Complete" for c in said)

    eventually(over_now, 30, "the Job to end")
    assert not home.api.task(home.space, "left")["metadata"].get("finalizers")
    home.api.request("DELETE", home.path("left"))
    goes(home, "left")
    home.operator.start()
    home.operator.ready()


def test_namespace_goes_though_no_operator_runs(home: Home) -> None:
    home.api.make_task(home.space, "orphan")
    home.api.say(home.pod("orphan"), "Running", clone=over(0), agent=running())
    home.operator.stop()
    path = f"/api/v1/namespaces/{home.space}"
    home.api.request("DELETE", path)
    eventually(lambda: not home.api.get(path), 60, "the namespace to go")
