"""Plan mode: what is read as a plan, and what becomes of it, with real tools."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.conftest import MODEL, MakePod, Pod, script_of
from tests.agent.projects import git

from agenttask_agent import planning
from agenttask_agent.planning import BadPlan, read_plan
from agenttask_api.result import AgentReport, PlanStep
from agenttask_api.spec import Constraints

NAMES = ["files_read_file", "files_write_file", "tests_pytest"]


def step(name: str, **params: Any) -> dict[str, Any]:
    tool, _, operation = name.partition(".")
    return {"tool": tool, "operation": operation, "params": params}


def said(*steps: dict[str, Any]) -> dict[str, Any]:
    """Return a scripted reply with a plan of these steps."""
    return {"content": json.dumps({"reasoning": "because", "steps": steps})}


WRITE = step("files.write_file", path="new.txt", content="new\n")
OTHER = step("files.write_file", path="other.txt", content="other\n")
MISSING = step("files.read_file", path="missing.txt")
LEAVES = st.none() | st.booleans() | st.floats() | st.text(max_size=9)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
WORDS = st.sampled_from(["files", "read_file", "tests", "pytest", "finish", ""]) | JSON
STEPS = st.fixed_dictionaries({"tool": WORDS, "operation": WORDS, "params": JSON})
PLANS = st.fixed_dictionaries({"reasoning": JSON, "steps": st.lists(STEPS) | JSON})
PLAN = '{"reasoning": "r", "steps": [{"tool": "tests", "operation": "pytest", "params": {}}]}'


def reported(
    make_pod: MakePod, *replies: dict[str, Any], task: Any = None, server: Any = None, **limits: Any
) -> tuple[AgentReport, Pod]:
    script = script_of(*replies).model_copy(update=server or {})
    pod = make_pod(script, constraints={"mode": "Plan", **limits}, **(task or {}))
    _, output = pod.run()
    assert pod.door.report is not None, output
    return pod.door.report, pod


def operations(report: AgentReport) -> list[tuple[str, bool]]:
    return [(o.operation, o.success) for o in report.operations]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PLAN, id="plain"),
        pytest.param(f"```json\n{PLAN}\n```", id="fenced"),
        pytest.param(f"Here is my plan:\n\n```json\n{PLAN}\n```\nDone.", id="prefixed and fenced"),
        pytest.param(f"Sure! {PLAN}", id="prefixed"),
        pytest.param(f"{PLAN}\nLet me know.", id="followed by prose"),
        pytest.param(json.dumps(PLAN), id="doubly encoded"),
        pytest.param(PLAN.replace("}]}", "},]}"), id="trailing comma"),
        pytest.param(PLAN.replace('"', "'"), id="a Python literal"),
        pytest.param(PLAN.replace('"tests"', '"tests.pytest"'), id="the whole name as the tool"),
        pytest.param(PLAN.replace('"params": {}', '"params": "{}"'), id="params encoded"),
        pytest.param(PLAN.replace('"params": {}', '"params": null'), id="params null"),
        pytest.param(PLAN.replace('"pytest"', '"PyTest"'), id="another spelling"),
    ],
)
def test_a_plan_is_read_in_every_form_that_models_write(content: str):
    assert read_plan(content, NAMES).steps == (PlanStep(tool="tests", operation="pytest"),)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("I would first read the file.", "not one JSON object"),
        ("", "not one JSON object"),
        (PLAN[:-20], "not one JSON object"),
        ('{"reasoning": "r", "steps": []}', "no steps"),
        ('{"reasoning": "r"}', "steps: Field required"),
        ('{"reasoning": "r", "steps": "read"}', "steps: Input should be a valid list"),
        ('{"steps": [{"operation": "pytest"}]}', "steps.0.tool: Field required"),
        ('{"steps": [{"tool": "rocket", "operation": "launch"}]}', "step 1: there is no operation"),
        (json.dumps({"steps": [step("tests.pytest")] * 51}), "at most 50"),
    ],
)
def test_what_is_no_plan_says_why(content: str, problem: str):
    with pytest.raises(BadPlan, match=problem):
        read_plan(content, NAMES)


def test_a_plan_is_executed_in_order(make_pod: MakePod):
    report, pod = reported(make_pod, said(WRITE, step("files.read_file", path="new.txt")))
    assert report.stop_reason == "Completed"
    assert operations(report) == [("files.write_file", True), ("files.read_file", True)]
    assert report.plan is not None
    assert [s.operation for s in report.plan.steps] == ["write_file", "read_file"]
    assert git(pod.repo, "show", "HEAD:new.txt") == "new"
    kinds = [t.type for t in report.reasoning_log]
    assert kinds[-5:] == ["action", "observation", "action", "observation", "conclusion"]
    assert len(pod.door.requests) == 1


def test_the_server_is_bound_to_the_schema_where_it_can(make_pod: MakePod):
    _, pod = reported(make_pod, said(WRITE))
    form = pod.door.requests[0]["response_format"]
    alternatives = form["json_schema"]["schema"]["properties"]["steps"]["items"]["anyOf"]
    assert {"const": "files"} in [a["properties"]["tool"] for a in alternatives]
    assert pod.door.requests[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "utils.py" in pod.door.requests[0]["messages"][1]["content"]


def test_without_structured_output_text_is_read(make_pod: MakePod):
    server = {"structured_output": False}
    fenced = {"content": f"My plan:\n```json\n{said(WRITE)['content']}\n```"}
    report, pod = reported(make_pod, fenced, server=server)
    assert report.stop_reason == "Completed"
    assert "response_format" not in pod.door.requests[0]


def test_a_server_that_refuses_the_schema_is_asked_in_text(make_pod: MakePod):
    refused = said(WRITE) | {"fault": {"status": 400, "message": "Grammar error", "times": 1}}
    report, pod = reported(make_pod, refused)
    assert report.stop_reason == "Completed"
    assert ["response_format" in r for r in pod.door.requests] == [True, False]


@given(st.text() | st.from_regex(r"\{.*\}") | JSON.map(json.dumps) | PLANS.map(json.dumps))
def test_no_reply_breaks_the_reading_of_plans(content: str):
    try:
        plan = read_plan(content, NAMES)
    except BadPlan:
        return
    assert plan.steps
    assert all(f"{s.tool}_{s.operation}" in NAMES for s in plan.steps)


@pytest.mark.parametrize(
    ("on_error", "done", "reason"),
    [
        ("Abort", [True, False], "ToolFailed"),
        ("Skip", [True, False, True], "Completed"),
        ("Retry", [True, False, False, False], "ToolFailed"),
    ],
)
def test_what_a_failed_step_does_to_the_rest(
    make_pod: MakePod, on_error: str, done: list[bool], reason: str
):
    report, pod = reported(make_pod, said(WRITE, MISSING, OTHER), onError=on_error)
    assert ([ok for _, ok in operations(report)], report.stop_reason) == (done, reason)
    assert (pod.repo / "other.txt").exists() is (on_error == "Skip")
    assert git(pod.repo, "show", "HEAD:new.txt") == "new", "partial work is kept"
    if reason == "ToolFailed":
        assert "step 2 of 3, files.read_file, failed" in report.message
        assert report.reasoning_log[-1].type == "error"
        assert report.plan is not None
    else:
        assert report.message == "2 of 3 steps of the plan succeeded; the others were skipped"


def test_a_missing_on_error_means_abort(make_pod: MakePod):
    assert Constraints().on_error == "Abort"
    report, _ = reported(make_pod, said(MISSING, WRITE))
    assert operations(report) == [("files.read_file", False)]


def test_a_retried_step_may_succeed(make_pod: MakePod):
    flaky = (
        "from pathlib import Path\n\n\ndef test_second_time():\n"
        "    mark = Path('mark')\n    seen = mark.exists()\n    mark.touch()\n    assert seen\n"
    )
    plan = said(
        step("files.write_file", path="test_x.py", content=flaky),
        step("tests.pytest", path="test_x.py"),
    )
    report, _ = reported(make_pod, plan, onError="Retry")
    assert [ok for _, ok in operations(report)] == [True, False, True]
    assert report.stop_reason == "Completed"


def test_a_refused_step_is_not_retried(make_pod: MakePod):
    refused = step("files.write_file", path="../out", content="")
    report, _ = reported(make_pod, said(refused, WRITE), onError="Retry")
    assert report.stop_reason == "ToolFailed"
    assert [o.denied for o in report.operations] == [True]


def test_a_plan_of_which_everything_is_refused_is_no_success(make_pod: MakePod):
    refused = step("files.write_file", path="../out", content="")
    report, _ = reported(make_pod, said(refused, refused), onError="Skip")
    assert report.stop_reason == "PolicyDenied"
    assert "every step was refused" in report.message


def test_a_plan_of_which_everything_fails_is_no_success(make_pod: MakePod):
    report, _ = reported(make_pod, said(MISSING, MISSING), onError="Skip")
    assert (report.stop_reason, report.message[:22]) == ("ToolFailed", "no step of the plan su")


def test_a_read_only_plan_is_the_result_and_changes_nothing(make_pod: MakePod):
    report, pod = reported(make_pod, said(WRITE, OTHER), readOnly=True)
    assert (report.stop_reason, report.operations, report.commit_sha) == ("Completed", (), None)
    assert report.plan is not None
    assert [s.params["path"] for s in report.plan.steps] == ["new.txt", "other.txt"]
    assert "1. files.write_file" in report.summary
    assert git(pod.repo, "status", "--porcelain") == ""
    assert pod.door.bundle is None


def test_a_bad_plan_is_asked_for_again_with_the_problem(make_pod: MakePod):
    bad = said(step("files.write_file", path="x"))
    report, pod = reported(make_pod, {"content": "Let me think."}, bad, said(WRITE))
    assert report.stop_reason == "Completed"
    first, second, third = pod.door.requests
    assert "not one JSON object" in second["messages"][-1]["content"]
    assert "content: Field required" in third["messages"][-1]["content"]
    assert "seed" not in first
    assert (second["seed"], third["seed"]) == (1, 2)
    assert len(report.operations) == 1


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"content": "no"}, "not one JSON object"),
        (said(), "no steps"),
        (said(WRITE) | {"fault": {"truncate": True, "times": 9}}, "cut off"),
    ],
)
def test_three_replies_without_a_plan_are_a_misunderstanding(
    make_pod: MakePod, reply: dict[str, Any], problem: str
):
    report, pod = reported(make_pod, reply, reply, reply, reply)
    assert report.stop_reason == "ModelMisunderstood"
    assert problem in report.message
    assert (len(pod.door.requests), report.operations) == (3, ())


@pytest.mark.parametrize(("limit", "reason"), [(2, "Completed"), (1, "BudgetExceeded")])
def test_operations_of_a_plan_at_the_limit_and_beyond(make_pod: MakePod, limit: int, reason: str):
    report, _ = reported(make_pod, said(WRITE, OTHER), maxOperations=limit)
    assert (report.stop_reason, len(report.operations)) == (reason, limit)


@pytest.mark.parametrize(("limit", "reason"), [(2, "Completed"), (1, "IterationLimit")])
def test_replies_of_a_plan_at_the_limit_and_beyond(make_pod: MakePod, limit: int, reason: str):
    report, pod = reported(make_pod, {"content": "hm"}, said(WRITE), maxIterations=limit)
    assert (report.stop_reason, len(pod.door.requests)) == (reason, limit)


def test_the_schema_is_bounded_everywhere(tools: Any):
    schema = planning.plan_schema(tools.toolbox.plannable())
    text = json.dumps(schema)
    assert schema["properties"]["steps"]["maxItems"] == 50  # type: ignore[index]
    assert "$ref" not in text


def test_the_model_s_own_name_is_sent(make_pod: MakePod):
    _, pod = reported(make_pod, said(WRITE))
    assert pod.door.requests[0]["model"] == MODEL
