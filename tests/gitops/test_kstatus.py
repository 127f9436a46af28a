"""What kstatus, the library by which Flux and Helm wait, makes of each state the operator writes.

The library is the one that kustomize-controller 1.9 links, in a program of a few lines.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.operator.builders import (
    NOW,
    dead,
    first,
    judged,
    make_facts,
    make_job,
    make_pod,
    make_task,
    running,
    task_object,
)

from agenttask_api import names
from agenttask_api.status import UNSEEN_GENERATION
from agenttask_cluster.binaries import CACHE, build_environment
from agenttask_cluster.toolchain import ensure_go
from agenttask_operator.actions import PatchStatus
from agenttask_operator.facts import Facts
from agenttask_operator.planner import plan

HERE = Path(__file__).parent
Object = dict[str, Any]
Ask = Callable[[Object], str]


def work(*containers: Object, phase: str, finished: str = "") -> Facts:
    pod = make_pod(*containers, phase=phase)
    return make_facts(jobs=(make_job(finished=finished),), pods=(pod,))


STATES: dict[str, tuple[Facts, str]] = {
    "no class": (make_facts(classes={}), "InProgress"),
    "suspended": (make_facts(make_task(suspend=True)), "InProgress"),
    "not implemented": (make_facts(make_task(agents={"count": 2})), "Failed"),
    "cloning": (work(phase="Pending"), "InProgress"),
    "running": (work(running(names.AGENT), phase="Running"), "InProgress"),
    "succeeded": (
        make_facts(jobs=(make_job(finished="Complete"),), pods=(judged(),)),
        "Current",
    ),
    "rejected": (
        make_facts(
            jobs=(make_job(finished="Failed"),),
            pods=(judged("VerificationFailed", "Failed", verdict="Rejected"),),
        ),
        "Failed",
    ),
    "out of memory": (
        work(
            dead(names.AGENT, 137, reason="OOMKilled"),
            phase="Failed",
            finished="Failed",
        ),
        "Failed",
    ),
    "cancelled": (make_facts(make_task(cancel=True)), "Failed"),
}


def in_api(status: Object) -> Object:
    """Return a task of generation 1 as the API server gives it to clients."""
    task = task_object()
    task["metadata"]["generation"] = 1
    head = {"apiVersion": "agenttask.dev/v1alpha1", "kind": "AgentTask"}
    return {**head, **task, "status": status}


def planned(facts: Facts) -> Object:
    status = first(plan(facts, NOW), PatchStatus).status
    return status.model_dump(by_alias=True, mode="json")


@pytest.fixture(scope="module")
def kstatus(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Ask the library: `kstatus(task)` is Current, InProgress or Failed."""
    program = tmp_path_factory.mktemp("kstatus") / "kstatus"
    go = ensure_go(CACHE)
    subprocess.run(
        [go, "build", "-ldflags", "-s -w", "-o", program, "."],
        cwd=HERE / "kstatus",
        env=build_environment(go),
        check=True,
    )

    def ask(task: Object) -> str:
        done = subprocess.run([program], input=json.dumps([task]), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (answer,) = json.loads(done.stdout)
        return str(answer["status"])

    return ask


@pytest.mark.parametrize("state", list(STATES))
def test_each_state_is_what_it_should_be(kstatus: Ask, state: str) -> None:
    facts, expected = STATES[state]
    assert kstatus(in_api(planned(facts))) == expected


def test_a_task_that_nobody_has_seen_is_in_progress(kstatus: Ask) -> None:
    assert kstatus(in_api({"observedGeneration": UNSEEN_GENERATION})) == "InProgress"


def test_an_edited_task_is_not_what_its_last_run_was(kstatus: Ask) -> None:
    for state in ("succeeded", "rejected"):
        task = in_api(planned(STATES[state][0]))
        task["metadata"]["generation"] = 2
        assert kstatus(task) == "InProgress"
