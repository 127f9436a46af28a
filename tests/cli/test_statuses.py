"""What the cluster's objects mean to a person: pure rules."""

from typing import Any

import pytest

from agenttask_api.agentclass import DEFAULT_CLASS_ANNOTATION
from agenttask_cli.diagnosis import diagnose
from agenttask_cli.statuses import is_over, report_lines, state_line

Object = dict[str, Any]
RESOURCES = {"agenttasks", "agentclasses"}
OPERATOR = {
    "metadata": {"namespace": "agenttask-system", "name": "agenttask-operator"},
    "spec": {"replicas": 1},
    "status": {"readyReplicas": 1},
}


def agent_class(name: str, default: bool = True, *conditions: Object) -> Object:
    annotations = {DEFAULT_CLASS_ANNOTATION: "true"} if default else {}
    return {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"model": {"endpoint": "http://vllm:8000"}},
        "status": {"conditions": list(conditions)},
    }


def condition(kind: str, status: str, reason: str = "Because") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": "in words"}


CLASSES = (agent_class("a"),)


def bad(resources=RESOURCES, operators=(OPERATOR,), classes=CLASSES) -> list[str]:
    return [text for good, text in diagnose(set(resources), [*operators], [*classes]) if not good]


def test_a_cluster_in_order_has_no_bad_finding():
    reachable = agent_class("a", True, condition("ModelReachable", "True"))
    assert bad() == []
    assert bad(classes=[reachable, agent_class("b", False)]) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"resources": {"agenttasks"}}, "resource definitions missing: agentclasses"),
        ({"operators": ()}, "no operator"),
        ({"operators": ({**OPERATOR, "status": {}},)}, "0 of 1 ready"),
        ({"operators": ({**OPERATOR, "spec": {"replicas": 0}},)}, "of 0 ready"),
        ({"classes": ()}, "no default class"),
        ({"classes": (agent_class("a"), agent_class("b"))}, "a, b; only one may be"),
        (
            {"classes": (agent_class("a", True, condition("ModelReachable", "False")),)},
            "class a: ModelReachable=False Because in words",
        ),
    ],
)
def test_what_is_missing_is_named(changed: Object, words: str):
    assert [text for text in bad(**changed) if words in text]


def test_a_condition_that_may_be_false_is_no_finding():
    assert bad(classes=[agent_class("a", True, condition("ModelKeyRequired", "False"))]) == []


def test_an_old_outcome_is_not_the_end_of_a_new_run():
    task = {
        "metadata": {"generation": 2},
        "status": {"observedGeneration": 1, "phase": "Succeeded"},
    }
    assert not is_over(task)
    assert is_over({**task, "metadata": {"generation": 1}})
    assert not is_over({"metadata": {"generation": 1}})


def test_a_state_is_one_clean_line():
    status = {"phase": "Failed", "verdict": "Rejected", "reason": "X", "message": "a\x1b[2J\nb"}
    assert state_line(status) == "Failed Rejected X: a b"
    assert state_line({}) == "Pending"


def test_a_report_tells_what_there_is_and_nothing_else():
    assert list(report_lines({"status": {}})) == []
    status = {
        "run": {"id": "1", "jobName": "greet-1"},
        "attempts": [{"podName": "greet-1-x", "reason": "Completed", "tokens": 7}],
        "artifacts": {
            "branch": "agenttask/greet",
            "commitSHA": "0123456789abcdef",
            "filesChanged": ["utils.py"],
            "tests": {"passed": 4},
            "refs": [{"name": "change.patch", "size": 5, "ref": "nats://b/k"}],
        },
        "operations": {"total": 6},
        "usage": {"totalTokens": 38, "modelCalls": 8},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Completed"}],
    }
    assert list(report_lines({"status": status})) == [
        ("run", "1 (Job greet-1)"),
        ("attempt", "greet-1-x Completed 7 tokens"),
        ("branch", "agenttask/greet at 0123456789ab"),
        ("changed", "utils.py"),
        ("tests", "4 passed, 0 failed, 0 skipped"),
        ("artifact", "change.patch 5 bytes nats://b/k"),
        ("operations", "6 total, 0 failed, 0 denied"),
        ("tokens", "38 in 8 calls"),
        ("condition", "Ready=True Completed"),
    ]
