"""The reason of a refusal is kept, what it quotes is not."""

import json
from typing import Any

import pytest
from tests.operator.builders import DEFAULTS, make_task

from agenttask_operator.quotes import confidential_texts, manifest_texts, without_values

PROMPT = 'Add "hello" to utils.py,\nand nothing else'
QUOTA = 'pods "fix-1" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=2'


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (QUOTA, QUOTA),
        (
            'spec.x: Invalid value: "s3cret \\" value": must be a number',
            "spec.x: Invalid value: …: must be a number",
        ),
        ('a: Invalid value: "cut in the midd', "a: Invalid value: …"),
        (
            'template: Invalid value: core.Pod{A:"x"}: field is immutable',
            "template: Invalid value: …: field is immutable",
        ),
        ("spec.count: Invalid value: 12: too many", "spec.count: Invalid value: 12: too many"),
    ],
)
def test_quoted_values_go_and_the_reason_stays(message, shown):
    assert without_values(message, ()) == shown


@pytest.mark.parametrize(
    "quoted", [PROMPT, json.dumps(PROMPT), json.dumps(json.dumps(PROMPT)), PROMPT[:25]]
)
def test_message_ends_where_it_begins_to_quote_the_task(quoted):
    shown = without_values(f"denied by policy, which saw {quoted} and more", (PROMPT,))
    assert shown.startswith("denied by policy, which saw")
    assert "utils" not in shown
    assert "more" not in shown


def test_short_text_is_only_found_whole():
    assert without_values("denied: fix it now", ("fix it",)) == "denied:…"
    assert without_values("denied: fix one", ("fix it",)) == "denied: fix one"
    assert without_values("a pod", ("pod",)) == "a pod"


def test_free_texts_of_a_spec_are_confidential():
    spec = make_task(
        prompt="the prompt",
        context="the context",
        env=[{"name": "N", "value": "the value"}],
        verify=[{"name": "tests", "run": ["make", "the test"]}],
        constraints={"rubric": "the rubric", "requirements": ["the requirement"]},
    ).spec
    assert spec
    texts = set(confidential_texts(spec.to_api()))
    assert {"the prompt", "the context", "the value", "the test", "the rubric"} <= texts
    assert "the requirement" in texts
    assert DEFAULTS.agent_image not in texts


def test_job_without_its_document_has_no_texts():
    bare: dict[str, Any] = {"spec": {"template": {"metadata": {}}}}
    other = {"spec": {"template": {"metadata": {"annotations": {"team": "a"}}}}}
    assert manifest_texts(bare) == manifest_texts(other) == ()
