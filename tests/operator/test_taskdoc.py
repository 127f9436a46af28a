"""What of task and class reaches the pod, and who goes first."""

from typing import Any

import pytest
from tests.operator.builders import make_class, make_task

from agenttask_api.taskdocument import TaskDocument, TaskIdentity
from agenttask_operator.admission import grant
from agenttask_operator.taskdoc import build_document

IDENTITY = TaskIdentity(namespace="team", name="x", uid="u", run_id="1", run_key="1-a")
ENDPOINT = {"endpoint": "http://model", "name": "org/model-7B"}


def document(task: dict[str, Any], model: dict[str, Any] | None = None) -> TaskDocument:
    spec, class_ = make_task(**task).spec, make_class(model=ENDPOINT | (model or {})).spec
    assert spec
    assert class_
    return build_document(IDENTITY, spec.prompt or "", spec, class_, grant(spec, class_))


@pytest.mark.parametrize(
    ("task", "role", "temperature"),
    [
        pytest.param({}, {}, 0.1, id="the class's"),
        pytest.param({}, {"QA": {"temperature": 0.5}}, 0.1, id="another role's"),
        pytest.param({}, {"DEV": {"temperature": 0.5}}, 0.5, id="the role's"),
        pytest.param({"temperature": 0.9}, {"DEV": {"temperature": 0.5}}, 0.9, id="the task's"),
    ],
)
def test_the_nearest_temperature_holds(
    task: dict[str, Any], role: dict[str, Any], temperature: float
):
    model = {"generation": {"temperature": 0.1, "maxTokens": 100}, "roles": role}
    found = document({"model": task}, model).model
    assert (found.temperature, found.max_tokens) == (temperature, 100)


def test_a_role_may_override_each_setting():
    role = {"DEV": {"maxTokens": 7, "contextWindow": 2048}}
    found = document({}, {"generation": {"contextWindow": 8192}, "roles": role}).model
    assert (found.max_tokens, found.context_window, found.temperature) == (7, 2048, None)


@pytest.mark.parametrize("profile", ["Auto", "Small", "Large"])
def test_the_class_s_profile_reaches_the_agent(profile: str):
    assert document({}, {"profile": profile}).model.profile == profile


def test_what_the_agent_is_told_of_its_constraints_is_what_the_task_says():
    constraints = {"mode": "Plan", "onError": "Skip", "rubric": "r", "requirements": ["a", "b"]}
    found = document({"constraints": constraints}).constraints.to_api()
    assert {key: found[key] for key in constraints} == constraints


@pytest.mark.parametrize(
    ("context", "tokens", "kept"),
    [
        pytest.param("x" * 40, 10, "x" * 40, id="at the limit"),
        pytest.param("x" * 41, 10, "x" * 40, id="one more"),
        pytest.param("a\n" * 21, 10, "a\n" * 20, id="after a line"),
        pytest.param("x", 0, "", id="none at all"),
        pytest.param("", 0, "", id="nothing to cut"),
        pytest.param("x" * 16_000, None, "x" * 16_000, id="omitted, at the limit"),
        pytest.param("x" * 16_001, None, "x" * 16_000, id="omitted, one more"),
    ],
)
def test_the_context_is_cut_visibly_and_always_the_same(
    context: str, tokens: int | None, kept: str
):
    given: dict[str, Any] = {"context": context}
    given |= {} if tokens is None else {"contextTokens": tokens}
    found = document(given).context
    note = f"[context cut at spec.contextTokens: {len(kept)} of {len(context)} characters]"
    cut = f"{kept.rstrip()}\n{note}".lstrip()
    assert found == (context if kept == context else cut)
    assert found == document(given).context
