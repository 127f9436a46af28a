"""Runs that end badly, in real pods: one task for each reason, all of them at once.

What needs no container of ours is provoked in `tests/chaos/test_reasons.py`.
"""

import os
from typing import Any

import pytest
from tests.e2e.tasks import Home, eventually, finished, pods, task, until

from agenttask_api.reasons import MEANINGS, RERUN_HINT, Reason
from agenttask_testbed import services
from agenttask_testbed.commands import Kubectl

pytestmark = pytest.mark.skipif(
    not os.environ.get("AGENTTASK_SLOW_TESTS"),
    reason="slow, with a pod for each reason: AGENTTASK_SLOW_TESTS=1, as `make chaos` sets it",
)

GREET = "Append a greeting to utils.py."
BROKEN = {"name": "broken", "run": ["sh", "-c", "echo no such tool; exit 3"]}

ENDS: dict[Reason, tuple[str, dict[str, Any], str]] = {
    Reason.NO_CHANGE: ("Change nothing at all.", {}, ""),
    Reason.POLICY_DENIED: (GREET, {"output": {"denyPaths": ["utils.py"]}}, "utils.py"),
    Reason.SETUP_FAILED: (GREET, {"setup": [BROKEN]}, "broken"),
    # A ref below a ref that is a branch cannot be.
    Reason.PUSH_REJECTED: (GREET, {"output": {"branch": "main/below"}}, "main/below"),
    Reason.MODEL_ERROR: ("Meet a broken server.", {}, "this deployment is broken"),
    Reason.MODEL_MISUNDERSTOOD: ("Talk and do nothing.", {}, "without a tool call"),
    Reason.BUDGET_EXCEEDED: (
        "Read one file more than allowed.",
        {"constraints": {"maxOperations": 1}},
        "of 1 operations",
    ),
    Reason.ITERATION_LIMIT: (
        "Read one file more than allowed.",
        {"constraints": {"maxIterations": 1}},
        "1 iterations",
    ),
    Reason.LOOP_DETECTED: ("Read it again and again.", {}, ""),
    Reason.CONTEXT_EXHAUSTED: ("Meet a server with a short memory.", {}, ""),
    Reason.TOOL_FAILED: (
        "Plan to read what is not there.",
        {"constraints": {"mode": "Plan", "onError": "Abort"}},
        "NOTES.md",
    ),
    Reason.DEADLINE_EXCEEDED: (
        "Think for too long.",
        {"limits": {"activeDeadlineSeconds": 15}},
        "the run's time",
    ),
}
MOVED = "base-moved"


def name_of(reason: Reason) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in reason).strip("-")


@pytest.fixture(scope="module")
def ended(testbed: Kubectl, git_access: services.GitAccess) -> Home:
    """A namespace in which every task is on its way to its end."""
    name = f"ends-{os.urandom(4).hex()}"
    testbed.apply(services.namespace(name))
    services.grant_git(testbed, name, git_access)
    home = Home(testbed, name)
    branch = {"output": {"branch": f"agenttask/moved-{name}"}}
    home.apply(task(MOVED, "Append another greeting after a while.", **branch))
    until(home, MOVED, phase="Running")
    home.apply(task("mover", GREET, **branch))
    for reason, (prompt, spec, _) in ENDS.items():
        limits = {"retries": 3, **spec.get("limits", {})}
        home.apply(task(name_of(reason), prompt, **{**spec, "limits": limits}))
    return home


@pytest.mark.parametrize("reason", ENDS)
def test_run_ends_for_its_own_reason_and_costs_one_pod(ended: Home, reason: Reason) -> None:
    name = name_of(reason)
    state = finished(ended, name, 240)
    assert (state["phase"], state["reason"]) == ("Failed", reason), state["message"]
    for words in (ENDS[reason][2], MEANINGS[reason].hint, RERUN_HINT):
        assert words in state["message"]
    assert reason in ended.run("get", "agenttask", name)
    assert len(pods(ended, name)) == 1


def test_work_on_a_branch_that_moved_meanwhile_is_kept_and_not_forced(ended: Home) -> None:
    until(ended, "mover", 240, phase="Succeeded")
    state = until(ended, MOVED, 240, phase="Failed", reason="BaseMoved")
    assert MEANINGS[Reason.BASE_MOVED].hint in state["message"]
    assert len(pods(ended, MOVED)) == 1


def test_namespace_goes_with_all_its_failed_tasks(ended: Home) -> None:
    for reason in ENDS:
        finished(ended, name_of(reason), 240)
    ended.kubectl("delete", "namespace", ended.namespace, "--wait=false")
    left = ("get", "namespace", ended.namespace, "--ignore-not-found")
    eventually(lambda: not ended.kubectl(*left).strip(), 90, "the namespace to go")
