"""Tasks that Argo CD applies from git: the health it shows, and that it never runs one twice."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.e2e.tasks import PYTEST, Home, eventually, jobs, status, task, until
from tests.e2e.test_run import HELLO
from tests.gitops.argo import Argo
from tests.gitops.repository import Repository

from agenttask_testbed.commands import ROOT

RESYNCS = 50


@pytest.fixture
def followed(home: Home, argo: Argo) -> Iterator[Home]:
    """A namespace whose Application is gone, finalizer and all, before the controller is."""
    yield home
    argo.forget(home)


def applied(home: Home, name: str) -> None:
    """Wait until Argo CD has applied the task."""
    wanted = ("agenttask", name, "--ignore-not-found", "-o", "name")
    eventually(lambda: home.run("get", *wanted), 90, f"{name} to be applied")


def hello(name: str, **spec: Any) -> dict[str, Any]:
    return task(name, HELLO, verify=[PYTEST], **spec)


def test_a_task_from_git_becomes_healthy_runs_once_and_again_with_a_new_run_id(
    followed: Home, argo: Argo, repository: Repository
) -> None:
    home, given = followed, hello("greet")
    first = repository.write(given)
    argo.follow(home, repository)
    eventually(lambda: argo.health(home) == "Progressing", 90, "the task to be seen")
    eventually(lambda: argo.health(home) == "Healthy", 120, "the task to have succeeded")
    assert argo.synced(home) == first
    assert status(home, "greet")["verdict"] == "Verified"

    before = home.get("agenttask", "greet")["metadata"]
    for _ in range(RESYNCS):
        argo.refresh(home)
    after = home.get("agenttask", "greet")["metadata"]
    assert (after["generation"], after["resourceVersion"]) == (
        before["generation"], before["resourceVersion"],
    )  # fmt: skip
    assert len(jobs(home, "greet")) == 1

    second = repository.write({**given, "spec": {**given["spec"], "runID": "2"}})
    argo.refresh(home)
    eventually(lambda: argo.synced(home) == second, 120, "the new runID")
    eventually(lambda: status(home, "greet")["run"]["id"] == "2", 60, "the second run")
    eventually(lambda: argo.health(home) == "Healthy", 120, "the second run's end")
    assert [run["id"] for run in status(home, "greet")["runs"]] == ["1"]

    argo.remove(home)
    eventually(lambda: not home.get("agenttasks,jobs,pods")["items"], 60, "all to be pruned")


def test_failed_and_suspended_tasks_are_shown_as_such(
    followed: Home, argo: Argo, repository: Repository
) -> None:
    home, held = followed, hello("held", suspend=True)
    repository.write(held)
    argo.follow(home, repository)
    eventually(lambda: argo.health(home) == "Suspended", 90, "the suspended task")

    wrong = yaml.safe_load((ROOT / "examples/hello-world-wrong.yaml").read_text("utf-8"))
    wrong["metadata"].pop("namespace", None)
    repository.write(held, wrong)
    argo.refresh(home)
    eventually(lambda: argo.health(home) == "Degraded", 120, "the failed task")
    (shown,) = [r for r in argo.state(home)["resources"] if r["name"] == "hello-world-wrong"]
    assert shown["health"]["message"].startswith("VerificationFailed: ")


def test_an_illegal_edit_is_refused_where_the_author_looks(
    followed: Home, argo: Argo, repository: Repository
) -> None:
    home, held = followed, hello("held", suspend=True)
    repository.write(held)
    argo.follow(home, repository)
    applied(home, "held")
    until(home, "held", 30, phase="Pending", reason="Suspended")

    repository.write({**held, "spec": {**held["spec"], "prompt": "Do something else."}})
    argo.refresh(home)

    def refusal() -> str:
        return str(argo.state(home).get("operationState", {}).get("message", ""))

    eventually(lambda: "runID" in refusal(), 120, "the edit to be refused")
    assert home.get("agenttask", "held")["spec"]["prompt"] == held["spec"]["prompt"]


def test_what_was_deleted_comes_back_with_its_outcome_and_does_not_run_again(
    followed: Home, argo: Argo, repository: Repository
) -> None:
    home = followed
    repository.write(hello("once"))
    argo.follow(home, repository)
    applied(home, "once")
    before = until(home, "once", 120, phase="Succeeded")

    home.run("delete", "job", "--all", "--wait=true")
    argo.refresh(home)
    assert not jobs(home, "once")

    uid = home.get("agenttask", "once")["metadata"]["uid"]
    home.run("delete", "agenttask", "once", "--wait=true")

    def healed() -> bool:
        found = home.get("agenttasks")["items"]
        return bool(found) and found[0]["metadata"]["uid"] != uid

    eventually(healed, 60, "Argo CD to bring the task back")
    again = until(home, "once", 60, phase="Succeeded")
    assert again["artifacts"]["commitSHA"] == before["artifacts"]["commitSHA"]
    assert not jobs(home, "once")
    eventually(lambda: argo.health(home) == "Healthy", 60, "the task to be healthy again")
