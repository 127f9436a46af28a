"""What a class grants, and what it refuses by name."""

import pytest
from tests.operator.builders import make_class, make_task

from agenttask_operator.admission import (
    InvalidTask,
    NoClass,
    choose_class,
    grant,
    parse_quantity,
)

MAXIMA = {
    "max": {
        "activeDeadlineSeconds": 1800,
        "retries": 0,
        "maxModelTokens": 100000,
        "resources": {"limits": {"cpu": "2", "memory": "4Gi"}},
    },
    "default": {"startDeadlineSeconds": 120, "resources": {"limits": {"memory": "1Gi"}}},
}


def granted(task=None, **class_):
    spec, of_class = make_task(**(task or {})).spec, make_class(**class_).spec
    assert spec
    assert of_class
    return grant(spec, of_class)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        pytest.param(
            {"limits": {"activeDeadlineSeconds": 1801}},
            "spec.limits.activeDeadlineSeconds is 1801; the class allows at most 1800",
            id="deadline",
        ),
        pytest.param({"queue": {"name": "My queue"}}, "spec.queue.name 'My queue'", id="queue"),
        pytest.param({"limits": {"retries": 2}}, "spec.limits.retries is 2", id="retries"),
        pytest.param(
            {"constraints": {"maxModelTokens": 100001}},
            "spec.constraints.maxModelTokens is 100001",
            id="tokens",
        ),
        pytest.param(
            {"limits": {"resources": {"limits": {"memory": "4097Mi"}}}},
            "spec.limits.resources.limits.memory is 4097Mi; the class allows at most 4Gi",
            id="memory limit",
        ),
        pytest.param(
            {"limits": {"resources": {"requests": {"cpu": "2001m"}}}},
            "spec.limits.resources.requests.cpu is 2001m",
            id="cpu request",
        ),
        pytest.param({"model": {"name": "gpt"}}, "spec.model.name is 'gpt'", id="model"),
        pytest.param({"toolchain": "cobol"}, "'cobol' is not one of the class's: none", id="tools"),
    ],
)
def test_more_than_the_class_allows_is_refused_by_name(task, words):
    with pytest.raises(InvalidTask, match=words.replace("(", r"\(")):
        granted(task, limits=MAXIMA)


def test_defaults_of_the_schema_are_cut_to_the_maximum():
    found = granted(limits=MAXIMA)
    assert (found.active_deadline_seconds, found.retries, found.max_model_tokens) == (
        1800,
        0,
        100000,
    )


def test_defaults_of_the_class_fill_what_the_task_left_out():
    found = granted(limits=MAXIMA)
    assert found.start_deadline_seconds == 120
    assert found.resources.limits == {"memory": "1Gi"}


def test_request_never_exceeds_its_limit():
    found = granted({"limits": {"resources": {"limits": {"memory": "256Mi"}}}})
    assert found.resources.requests["memory"] == "256Mi"


def test_allowed_model_is_taken():
    class_ = {"model": {"endpoint": "http://v.example", "allowedNames": ["big"]}}
    assert granted({"model": {"name": "big"}}, **class_).model_name == "big"


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        pytest.param({}, "no AgentClass is marked", id="none"),
        pytest.param(
            {"a": make_class("a"), "b": make_class("b")}, "two defaults: a, b", id="two defaults"
        ),
        pytest.param({"a": make_class("a", model=None)}, "not valid: spec.model", id="not valid"),
    ],
)
def test_missing_default_class_is_explained(classes, words):
    spec = make_task().spec
    assert spec
    with pytest.raises(NoClass, match=words):
        choose_class(spec, classes)


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("1.5", 1.5), ("1Gi", 2**30), ("2k", 2000), ("1T", 1e12)]
)
def test_quantity(text, number):
    assert parse_quantity(text) == number


@pytest.mark.parametrize(
    ("asked", "allowed", "found"),
    [
        pytest.param([], ["a.org"], (), id="nothing asked"),
        pytest.param(["a.org"], ["*.org"], ("a.org",), id="narrower"),
        pytest.param(["*.org"], ["a.org", "b.org"], ("a.org", "b.org"), id="cut to the class"),
        pytest.param(["a.org"], ["a.org", "private:a.org"], ("a.org", "private:a.org"), id="both"),
        pytest.param(["a.org", "A.org"], ["a.org"], ("a.org",), id="once"),
    ],
)
def test_hosts_are_what_both_allow(asked, allowed, found):
    task = {"tools": {"httpHosts": asked}}
    assert granted(task, tools={"httpHosts": allowed}).http_hosts == found


@pytest.mark.parametrize(
    ("asked", "allowed", "words"),
    [
        (["b.org"], ["a.org"], "httpHosts has 'b.org'; the class allows a.org"),
        (["a.org"], [], "httpHosts has 'a.org'; the class allows none"),
        (["private:a.org"], ["private:a.org"], "httpHosts has 'private:a.org'"),
        (["http://a.org"], ["a.org"], "spec.tools.httpHosts: 'http://a.org' is not a host"),
        (["a.org"], ["a.org/x"], "the class's tools.httpHosts: 'a.org/x' is not a host"),
    ],
)
def test_hosts_beyond_the_class_are_refused_by_name(asked, allowed, words):
    with pytest.raises(InvalidTask, match=words):
        granted({"tools": {"httpHosts": asked}}, tools={"httpHosts": allowed})


@pytest.mark.parametrize("on_error", ["Skip", "Retry"])
def test_on_error_is_about_the_steps_of_a_plan(on_error: str):
    constraints = {"onError": on_error}
    with pytest.raises(InvalidTask, match=f"onError is {on_error}.*set constraints.mode to Plan"):
        granted({"constraints": constraints})
    assert granted({"constraints": constraints | {"mode": "Plan"}})
    assert granted({"constraints": {"onError": "Abort"}})
