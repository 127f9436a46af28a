"""What people meet on a bad day: each ends with a reason that tells the truth."""

import os
import signal
from collections.abc import Callable
from typing import Any

from tests.e2e.tasks import (
    PYTEST,
    Home,
    agent_class,
    condition,
    eventually,
    finished,
    host_pids,
    jobs,
    pods,
    status,
    task,
    until,
)

from agenttask_testbed import services
from agenttask_testbed.demo import git
from agenttask_testbed.product import SYSTEM

HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'
SLOW = "Take your time and add the greeting to utils.py."
SHORT = {"startDeadlineSeconds": 20, "activeDeadlineSeconds": 60, "retries": 0}


def default_class(home: Home) -> dict[str, Any]:
    answer: dict[str, Any] = home.kubectl.get("agentclass", "default")
    return answer


def with_class(home: Home, **spec: Any) -> str:
    """Make a class of this test's own and return its name; it goes with the cluster."""
    name = f"class-{home.namespace}"
    home.kubectl.apply(agent_class(name, default_class(home), **spec))
    return name


def kill_operator(home: Home) -> Callable[[], bool]:
    """SIGKILL the leader's process; returns a check for its having been started again."""
    lease = home.kubectl.get("-n", SYSTEM, "lease", "agenttask-operator")
    where = ("-n", SYSTEM, "pod", lease["spec"]["holderIdentity"].rpartition("_")[0])
    pod = home.kubectl.get(*where)
    restarts = pod["status"]["containerStatuses"][0]["restartCount"]
    pids = host_pids(pod["metadata"]["uid"], "agenttask-operator")
    assert pids, "the operator's process was not found"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        state = home.kubectl.get(*where)["status"]["containerStatuses"][0]
        return bool(state["restartCount"] > restarts and state["ready"])

    return is_back


def test_an_operator_killed_in_mid_task_leaves_exactly_one_job(home: Home) -> None:
    home.apply(task("killed", SLOW, verify=[PYTEST]))
    until(home, "killed", phase="Running")
    before = jobs(home, "killed")

    is_back = kill_operator(home)

    eventually(is_back, 120, "the operator to come back")
    state = until(home, "killed", phase="Succeeded", verdict="Verified")
    after = jobs(home, "killed")
    assert [j["metadata"]["uid"] for j in after] == [j["metadata"]["uid"] for j in before]
    assert len(pods(home, "killed")) == 1
    assert (
        git(home.kubectl, "rev-list", "--count", f"main..{state['artifacts']['branch']}").strip()
        == "1"
    )


def test_an_operator_killed_right_after_apply_makes_one_job_each(home: Home) -> None:
    names = [f"burst-{i}" for i in range(6)]
    home.apply(*(task(name, HELLO) for name in names[:3]))
    is_back = kill_operator(home)
    home.apply(*(task(name, HELLO) for name in names[3:]))
    eventually(is_back, 120, "the operator to come back")

    for name in names:
        finished(home, name, seconds=180)
        assert len(jobs(home, name)) == 1
        assert len(pods(home, name)) == 1


def test_an_agent_out_of_memory_is_said_so_and_not_tried_again(home: Home) -> None:
    resources = {"requests": {"memory": "16Mi"}, "limits": {"memory": "24Mi"}}
    home.apply(task("oom", HELLO, limits={"retries": 3, "resources": resources}))

    state = until(home, "oom", phase="Failed", reason="OOMKilled")

    assert "limits.memory" in state["message"]
    assert len(pods(home, "oom")) == 1


def test_an_image_that_does_not_exist_is_named_while_waiting_and_at_the_end(home: Home) -> None:
    images = [{"name": "none", "image": "localhost/agenttask/none:1"}]
    name = with_class(home, toolchains=images, defaultToolchain="none")
    home.apply(task("no-image", HELLO, className=name, limits=SHORT))

    waiting = until(home, "no-image", seconds=15, reason="ImagePullFailed")
    assert waiting["phase"] == "Pending"
    assert "localhost/agenttask/none:1" in waiting["message"]

    state = until(home, "no-image", phase="Failed", reason="StartDeadlineExceeded")
    assert "ImagePullFailed" in state["message"]
    eventually(lambda: not pods(home, "no-image"), 60, "the pod to go")


def test_a_missing_secret_is_named_with_the_command_that_creates_it(home: Home) -> None:
    broken = task("no-secret", HELLO, limits=SHORT)
    broken["spec"]["repo"]["credentialsRef"] = {"name": "nobody-made-this"}
    home.apply(broken)

    waiting = until(home, "no-secret", seconds=15, reason="ContainerConfigError")

    assert waiting["phase"] == "Pending"
    assert "kubectl create secret" in waiting["message"]
    assert "nobody-made-this" in waiting["message"]
    assert until(home, "no-secret", phase="Failed")["reason"] == "StartDeadlineExceeded"


def test_a_repository_that_cannot_be_reached_is_a_failed_clone(home: Home) -> None:
    broken = task("unreachable", HELLO, limits={"retries": 0})
    broken["spec"]["repo"]["url"] = f"https://nowhere.{home.namespace}.svc/git/hello.git"
    home.apply(broken)

    state = until(home, "unreachable", phase="Failed", reason="CloneFailed")

    assert f"nowhere.{home.namespace}.svc" in state["message"]


def test_a_revision_that_does_not_exist_is_named(home: Home) -> None:
    broken = task("no-revision", HELLO)
    broken["spec"]["repo"]["revision"] = "no-such-branch"
    home.apply(broken)

    state = until(home, "no-revision", phase="Failed", reason="CloneRevisionNotFound")

    assert "no-such-branch" in state["message"]
    assert len(pods(home, "no-revision")) == 1


def test_a_wrong_password_is_a_clone_that_was_refused(home: Home) -> None:
    wrong = {"username": "agent", "password": "wrong-pw-7351"}
    home.apply(services.secret("wrong", wrong, kind="kubernetes.io/basic-auth"))
    broken = task("no-access", HELLO)
    broken["spec"]["repo"]["credentialsRef"] = {"name": "wrong"}
    home.apply(broken)

    state = until(home, "no-access", phase="Failed", reason="CloneAuthFailed")

    assert "wrong-pw-7351" not in str(state)


def test_nats_gone_at_the_end_does_not_fail_the_task(home: Home) -> None:
    services.deploy_nats(home.kubectl, home.namespace)
    services.wait_for(home.kubectl, home.namespace, "nats")
    url = f"nats://nats.{home.namespace}.svc:4222"
    name = with_class(home, nats={"url": url}, flushSeconds=3)
    home.apply(task("no-nats", SLOW, className=name, verify=[PYTEST]))
    until(home, "no-nats", phase="Running")

    home.run("scale", "deploy/nats", "--replicas=0")

    state = until(home, "no-nats", phase="Succeeded", verdict="Verified")
    stored = condition(state, "ArtifactsStored")
    assert (stored["status"], stored["reason"]) == ("False", "StoreUnavailable")
    assert (
        git(home.kubectl, "rev-parse", state["artifacts"]["branch"]).strip()
        == state["artifacts"]["commitSHA"]
    )


def test_a_deleted_task_leaves_nothing(home: Home) -> None:
    home.apply(task("deleted", SLOW, verify=[PYTEST]))
    until(home, "deleted", phase="Running")

    home.run("delete", "agenttask", "deleted")

    left = "jobs,pods,configmaps,secrets,agenttasks"
    eventually(
        lambda: "deleted" not in home.run("get", left, "-o", "name"),
        90,
        "everything of the task to go",
    )


def test_a_cancelled_task_says_so_and_keeps_nothing_running(home: Home) -> None:
    home.apply(task("stopped", SLOW, verify=[PYTEST]))
    until(home, "stopped", phase="Running")

    home.run("patch", "agenttask", "stopped", "--type=merge", "-p", '{"spec":{"cancel":true}}')

    state = until(home, "stopped", phase="Cancelled", reason="Cancelled")
    assert condition(state, "Ready")["status"] == "False"
    assert [p for p in pods(home, "stopped") if p["status"]["phase"] == "Running"] == []
    eventually(lambda: not pods(home, "stopped"), 90, "the pod to go")


def test_a_task_waits_for_its_class_and_starts_by_itself(home: Home) -> None:
    name = f"late-{home.namespace}"
    home.apply(task("early", HELLO, className=name))
    waiting = until(home, "early", reason="WaitingForClass")
    assert name in waiting["message"]
    assert jobs(home, "early") == []

    home.kubectl.apply(agent_class(name, default_class(home)))

    until(home, "early", phase="Succeeded")


def test_a_field_that_nothing_honours_is_refused_by_name(home: Home) -> None:
    home.apply(task("too-early", HELLO, agents={"count": 3}))

    state = until(home, "too-early", reason="NotImplemented")

    accepted = condition(state, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NotImplemented")
    assert "spec.agents.count" in state["message"]
    assert jobs(home, "too-early") == []


def test_a_suspended_task_starts_when_it_is_let_go(home: Home) -> None:
    home.apply(task("held", HELLO, suspend=True))
    until(home, "held", reason="Suspended")
    assert jobs(home, "held") == []

    home.run("patch", "agenttask", "held", "--type=merge", "-p", '{"spec":{"suspend":false}}')

    until(home, "held", phase="Succeeded")


def test_a_new_run_id_runs_the_work_again_and_keeps_history(home: Home) -> None:
    home.apply(task("again", HELLO))
    first = until(home, "again", phase="Succeeded")

    home.run("patch", "agenttask", "again", "--type=merge", "-p", '{"spec":{"runID":"2"}}')

    eventually(lambda: status(home, "again").get("run", {}).get("id") == "2", 60, "the second run")
    second = until(home, "again", phase="Succeeded")
    assert second["run"]["number"] == 2
    assert [r["key"] for r in second["runs"]] == [first["run"]["key"]]


def test_a_job_deleted_by_somebody_else_is_not_made_again(home: Home) -> None:
    home.apply(task("robbed", SLOW, verify=[PYTEST]))
    until(home, "robbed", phase="Running")

    pod = pods(home, "robbed")[0]["metadata"]["name"]
    home.run("delete", "job", jobs(home, "robbed")[0]["metadata"]["name"], "--wait=false")
    home.run("delete", "pod", pod, "--wait=false")  # The garbage collector takes its time.

    state = until(home, "robbed", phase="Failed", reason="JobLost")
    assert "runID" in state["message"]
    assert jobs(home, "robbed") == []
