"""What kstatus, the library by which Flux and Helm wait, makes of each state the operator writes.

The library is the one that kustomize-controller 1.9 links, in a program of a few lines.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.operator.states import STATES, task_in

from agenttask_cluster.binaries import CACHE, build_environment
from agenttask_cluster.toolchain import ensure_go

HERE = Path(__file__).parent
Object = dict[str, Any]
Ask = Callable[[Object], str]


EXPECTED = {
    "unseen": "InProgress",
    "no class": "InProgress",
    "suspended": "InProgress",
    "not implemented": "Failed",
    "cloning": "InProgress",
    "running": "InProgress",
    "succeeded": "Current",
    "rejected": "Failed",
    "out of memory": "Failed",
    "cancelled": "Failed",
}


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
    assert kstatus(task_in(state)) == EXPECTED[state]


def test_an_edited_task_is_not_what_its_last_run_was(kstatus: Ask) -> None:
    for state in ("succeeded", "rejected"):
        task = task_in(state)
        edited = {**task, "metadata": {**task["metadata"], "generation": 2}}
        assert kstatus(edited) == "InProgress"
