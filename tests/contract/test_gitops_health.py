"""What Argo CD and Flux make of a task in every state that the operator writes.

The Lua and the expressions are the shipped ones, run by a Lua and a CEL interpreter; that the
controllers themselves agree is shown by `make test-gitops`.
"""

from functools import cache
from typing import Any

import celpy
import lupa
import pytest
import yaml
from celpy.adapter import json_to_cel
from tests.operator.states import STATES, task_in

from agenttask_testbed.commands import ROOT

GITOPS = ROOT / "examples" / "gitops"
Object = dict[str, Any]


def argo(task: Object) -> tuple[str, str]:
    """Run the shipped Lua as Argo CD does: `obj` in, a table with status and message out."""
    lua = lupa.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(task, recursive=True)
    health = lua.execute((GITOPS / "argocd" / "health.lua").read_text("utf-8"))
    return health["status"], health["message"]


def flux(file: str, task: Object) -> str:
    """Evaluate the shipped expressions in Flux's order."""
    kustomization = yaml.safe_load((GITOPS / "flux" / file).read_text("utf-8"))
    (rules,) = kustomization["spec"]["healthCheckExprs"]
    if task["status"]["observedGeneration"] != task["metadata"]["generation"]:
        return "InProgress"
    for name in ("inProgress", "failed", "current"):
        if evaluate(rules[name], task):
            return str(name[0].upper() + name[1:])
    return "InProgress"


def evaluate(expression: str, task: Object) -> bool:
    return bool(program(expression).evaluate({k: json_to_cel(v) for k, v in task.items()}))


@cache
def program(expression: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


@pytest.mark.parametrize(
    ("state", "health"),
    [
        ("unseen", "Progressing"),
        ("no class", "Progressing"),
        ("suspended", "Suspended"),
        ("not implemented", "Degraded"),
        ("cloning", "Progressing"),
        ("running", "Progressing"),
        ("succeeded", "Healthy"),
        ("rejected", "Degraded"),
        ("out of memory", "Degraded"),
        ("cancelled", "Degraded"),
    ],
)
def test_argo_cd_shows_each_state(state: str, health: str) -> None:
    assert argo(task_in(state))[0] == health


def test_argo_cd_says_why() -> None:
    assert argo(task_in("rejected"))[1].startswith("VerificationFailed: ")
    assert "OOMKilled" in argo(task_in("out of memory"))[1]


def test_a_changed_task_is_not_what_it_was() -> None:
    task = {**task_in("succeeded"), "metadata": {"name": "fix", "generation": 2}}
    assert argo(task)[0] == "Progressing"
    assert flux("kustomization-outcome.yaml", task) == "InProgress"


@pytest.mark.parametrize(
    ("state", "outcome", "accepted"),
    [
        ("unseen", "InProgress", "InProgress"),
        ("no class", "InProgress", "InProgress"),
        ("suspended", "Current", "Current"),
        ("not implemented", "Failed", "Failed"),
        ("cloning", "InProgress", "Current"),
        ("running", "InProgress", "Current"),
        ("succeeded", "Current", "Current"),
        ("rejected", "Failed", "Current"),
        ("out of memory", "Failed", "Current"),
        ("cancelled", "Failed", "Failed"),
    ],
)
def test_flux_by_expressions_shows_each_state(state: str, outcome: str, accepted: str) -> None:
    assert flux("kustomization-outcome.yaml", task_in(state)) == outcome
    assert flux("kustomization-accepted.yaml", task_in(state)) == accepted


def test_the_config_map_holds_the_lua() -> None:
    config = yaml.safe_load((GITOPS / "argocd" / "argocd-cm.yaml").read_text("utf-8"))
    lua = config["data"]["resource.customizations.health.agenttask.dev_AgentTask"]
    assert lua == (GITOPS / "argocd" / "health.lua").read_text("utf-8")


@pytest.mark.parametrize("state", list(STATES))
def test_a_task_is_never_current_to_kstatus_before_its_end(state: str) -> None:
    """Of a matching generation, kstatus takes whatever has no condition against it as done."""
    task = task_in(state)
    said = {c["type"]: c["status"] for c in task["status"].get("conditions", [])}
    seen = task["status"]["observedGeneration"] == task["metadata"]["generation"]
    done = state == "succeeded"
    failed = said.get("Stalled") == "True"
    assert (said.get("Ready") == "True") == done
    assert failed == (state in ("not implemented", "rejected", "out of memory", "cancelled"))
    if seen and not done and not failed:
        assert said["Reconciling"] == "True"
