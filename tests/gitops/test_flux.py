"""Tasks that Flux applies from git: what it shows of them, and that it never runs one twice."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.e2e.tasks import PYTEST, Home, eventually, jobs, status, task, until
from tests.e2e.test_run import HELLO
from tests.gitops.flux import Flux, kustomization, reconcile, said, state
from tests.gitops.repository import Repository

from agenttask_testbed.commands import ROOT, CommandFailed

RESYNCS = 50
SHIPPED = ROOT / "examples" / "gitops" / "flux"


@pytest.fixture
def followed(home: Home, flux: Flux) -> Iterator[Home]:
    """A namespace whose Kustomization is gone, finalizer and all, before the controller is."""
    yield home
    home.run("delete", "kustomization", "--all", "--timeout=60s")


def follow(home: Home, file: str = "kustomization.yaml") -> None:
    home.apply(kustomization(home, yaml.safe_load((SHIPPED / file).read_text("utf-8"))))


def hello(name: str, **spec: Any) -> dict[str, Any]:
    return task(name, HELLO, verify=[PYTEST], **spec)


def is_ready(home: Home, revision: str) -> bool:
    return said(home)[0] == "True" and state(home)["lastAppliedRevision"].endswith(revision)


def versions(home: Home, name: str) -> tuple[int, str]:
    metadata = home.get("agenttask", name)["metadata"]
    return metadata["generation"], metadata["resourceVersion"]


def test_a_task_from_git_is_waited_for_runs_once_and_again_with_a_new_run_id(
    followed: Home, flux: Flux, repository: Repository
) -> None:
    home, given = followed, hello("greet")
    first = repository.write(given)
    flux.publish(home, repository, first)
    follow(home)
    eventually(
        lambda: "health checks" in said(home, "Reconciling")[2], 60, "Flux to wait for the task"
    )
    eventually(lambda: is_ready(home, first), 120, "the Kustomization to be ready")
    assert status(home, "greet")["verdict"] == "Verified"

    before = versions(home, "greet")
    for number in range(RESYNCS):
        reconcile(home, f"again-{number}")
    assert versions(home, "greet") == before
    (job,) = jobs(home, "greet")

    again = {**given, "spec": {**given["spec"], "runID": "2"}}
    second = repository.write(again)
    flux.publish(home, repository, second)
    eventually(lambda: is_ready(home, second), 120, "the second run")
    state_ = status(home, "greet")
    assert state_["run"]["id"] == "2"
    assert [run["id"] for run in state_["runs"]] == ["1"]
    assert [j["metadata"]["name"] for j in jobs(home, "greet")] != [job["metadata"]["name"]]

    emptied = repository.write()
    flux.publish(home, repository, emptied)
    eventually(lambda: is_ready(home, emptied), 120, "the empty revision")
    eventually(lambda: not home.get("agenttasks")["items"], 60, "the task to be pruned")
    eventually(lambda: not home.get("jobs,pods")["items"], 60, "Job and pod to go with it")


def test_a_failed_task_fails_the_kustomization_at_once(
    followed: Home, flux: Flux, repository: Repository
) -> None:
    home = followed
    manifest = yaml.safe_load((ROOT / "examples/hello-world-wrong.yaml").read_text("utf-8"))
    manifest["metadata"].pop("namespace", None)
    flux.publish(home, repository, repository.write(manifest))
    follow(home)
    eventually(lambda: said(home)[0] == "False", 120, "Flux to give up")
    assert said(home)[1] == "HealthCheckFailed"
    assert "failed early due to stalled resources" in said(home)[2]
    assert status(home, "hello-world-wrong")["reason"] == "VerificationFailed"


def test_an_illegal_edit_is_refused_where_the_author_looks(
    followed: Home, flux: Flux, repository: Repository
) -> None:
    home, given = followed, hello("held", suspend=True)
    flux.publish(home, repository, repository.write(given))
    follow(home, "kustomization-outcome.yaml")
    eventually(lambda: said(home)[0] == "True", 60, "a suspended task not to be waited for")
    until(home, "held", 30, phase="Pending", reason="Suspended")

    edited = {**given, "spec": {**given["spec"], "prompt": "Do something else."}}
    flux.publish(home, repository, repository.write(edited))
    eventually(lambda: said(home)[0] == "False", 60, "the edit to be refused")
    assert "runID" in said(home)[2]
    assert home.get("agenttask", "held")["spec"]["prompt"] == given["spec"]["prompt"]


def test_what_was_deleted_comes_back_with_its_outcome_and_does_not_run_again(
    followed: Home, flux: Flux, repository: Repository
) -> None:
    home = followed
    commit = repository.write(hello("once"))
    flux.publish(home, repository, commit)
    follow(home)
    eventually(lambda: is_ready(home, commit), 120, "the task to have succeeded")
    before = status(home, "once")

    # What the TTL of the Job does.
    home.run("delete", "job", "--all", "--wait=true")
    reconcile(home, "after-the-ttl")
    assert not jobs(home, "once")
    assert status(home, "once")["phase"] == "Succeeded"

    home.run("delete", "agenttask", "once", "--wait=true")
    with pytest.raises(CommandFailed):
        home.get("agenttask", "once")
    reconcile(home, "self-heal")
    again = until(home, "once", 60, phase="Succeeded")
    assert again["artifacts"]["commitSHA"] == before["artifacts"]["commitSHA"]
    assert not jobs(home, "once")
    assert said(home)[0] == "True"
