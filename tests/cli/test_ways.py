"""Plans, requirements and small models through admission, agent, courier and verification."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import ROOT, Desk
from tests.e2e.tasks import PYTEST

SCRIPTS = [
    path
    for folder in (ROOT / "examples" / "rehearsals", ROOT / "tests" / "e2e" / "rehearsals")
    for path in sorted(folder.glob("*.yaml"))
]
"""In the order of the cluster's tests: the first conversation that matches answers."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve the rehearsals of the cluster's test of the same."""
    argv = [sys.executable, "-m", "agenttask_agent", "rehearse", *map(str, SCRIPTS), "--port", "0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().rpartition(" on ")[2].strip()
        server.terminate()
        server.communicate(timeout=10)


def class_file(desk: Desk, url: str, **model: Any) -> Path:
    spec = {"model": {"endpoint": url, "name": "rehearsal", **model}}
    whole = {
        "apiVersion": "agenttask.dev/v1alpha1",
        "kind": "AgentClass",
        "metadata": {"name": "mine"},
        "spec": spec,
    }
    path = desk.here / "class.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return path


def ran(desk: Desk, url: str, prompt: str, model: Any = None, **spec: Any) -> tuple[int, Any]:
    """Run a task and return exit code and result document."""
    classes = class_file(desk, url, **(model or {}))
    file = desk.task(prompt, verify=[PYTEST], **spec)
    process = desk.start("run", "-f", file, "--class", classes, "--json")
    out, err = process.communicate(timeout=120)
    assert out, err
    return process.returncode, json.loads(out)


def test_a_plan_that_skips_what_fails_is_verified(desk: Desk, url: str):
    plan = {"mode": "Plan", "onError": "Skip"}
    code, result = ran(desk, url, "Plan the greeting and skip.", constraints=plan)
    assert (code, result["verdict"], result["stop_reason"]) == (0, "Verified", "Completed")
    assert result["operation_counts"] == {"total": 2, "failed": 1, "denied": 0}
    assert result["artifacts"]["change"]["files_changed"] == ["utils.py"]
    assert [s["operation"] for s in result["plan"]["steps"]] == ["read_file", "append_file"]
    assert (result["model"]["profile"], result["model"]["way"]) == ("Large", "Plan")


def test_the_same_plan_that_aborts_is_a_failure(desk: Desk, url: str):
    code, result = ran(desk, url, "Plan the greeting and skip.", constraints={"mode": "Plan"})
    assert (code, result["success"], result["stop_reason"]) == (1, False, "ToolFailed")
    assert "step 1 of 2, files.read_file, failed" in result["message"]
    assert result["reasoning_log"][-1]["type"] == "error"


def test_a_read_only_plan_is_the_whole_result(desk: Desk, url: str):
    limits = {"mode": "Plan", "readOnly": True}
    task = {"constraints": limits, "role": "DATA", "output": {"mode": "None"}}
    code, result = ran(desk, url, "Only plan the greeting.", **task)
    assert (code, result["verdict"]) == (0, "NoChange")
    assert result["operations"] == []
    assert [s["operation"] for s in result["plan"]["steps"]] == ["append_file"]
    assert "1. files.append_file" in result["summary"]


def test_requirements_are_claimed_and_do_not_decide(desk: Desk, url: str):
    wanted = {"requirements": ["It returns a text.", "It is fast."], "rubric": "Small is good."}
    code, result = ran(desk, url, "Meet the requirements.", constraints=wanted)
    assert (code, result["verdict"]) == (0, "Verified")
    claims = [(r["text"], r["claim"]) for r in result["requirements"]]
    assert claims == [("It returns a text.", "met"), ("It is fast.", "unmet")]


def test_a_small_model_is_driven_by_bounded_questions(desk: Desk, url: str):
    prompt = 'As a small model: add hello_world() to utils.py. It returns "Hello, World!".'
    code, result = ran(desk, url, prompt, {"profile": "Small"})
    assert (code, result["verdict"]) == (0, "Verified"), result["message"]
    assert result["artifacts"]["change"]["files_changed"] == ["utils.py"]
    assert (result["model"]["profile"], result["model"]["way"]) == ("Small", "Questions")


def test_on_error_without_a_plan_is_refused(desk: Desk, url: str):
    task = desk.task(constraints={"onError": "Retry"})
    process = desk.start("run", "-f", task, "--class", class_file(desk, url))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2, (out, err)
    assert "set constraints.mode to Plan" in err
