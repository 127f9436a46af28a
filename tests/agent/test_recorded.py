"""Every recorded answer of a real server is read as a person reads it."""

import json
from pathlib import Path
from typing import Any

import pytest

from agenttask_agent.models import refusals
from agenttask_agent.models.parsing import parse_reply
from agenttask_agent.models.retry import is_retryable

FOLDER = Path(__file__).parent / "recorded"
FILES = sorted(FOLDER.glob("*.json"))
NAMES = ["files_read_file", "files_write_file", "files_edit_file", "git_diff", "finish"]
COMPLETION = {"calls", "content", "reasoning", "problem", "cut"}
ERROR = {"overflow", "retryable", "reply_tokens", "message"}


def documents(errors: bool) -> list[Any]:
    found = [(file.stem, json.loads(file.read_text("utf-8"))) for file in FILES]
    wanted = [(name, doc) for name, doc in found if (doc.get("status", 200) != 200) is errors]
    return [pytest.param(doc, id=name) for name, doc in wanted]


def test_there_are_recorded_answers_of_both_kinds():
    assert len(documents(errors=False)) >= 10
    assert len(documents(errors=True)) >= 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_says_whether_it_is_recorded_or_why_it_is_not(path: Path):
    document = json.loads(path.read_text("utf-8"))
    recorded = document["source"].startswith("recorded: vLLM ")
    assert recorded or document["source"].startswith("reconstructed because ")
    assert bool(document.get("request")) is recorded


def test_nearly_all_are_recorded():
    made_up = [p.stem for p in FILES if "request" not in json.loads(p.read_text("utf-8"))]
    assert made_up == ["engine-busy", "overflow-0.16", "repetition-detected"]


@pytest.mark.parametrize("document", documents(errors=False))
def test_a_completion_is_read(document: dict[str, Any]):
    expected = document["expected"]
    assert set(expected) <= COMPLETION
    reply = parse_reply(document["body"], NAMES)
    good = [[call.name, call.arguments] for call in reply.calls if not call.problem]
    problems = [reply.problem, *(call.problem for call in reply.calls)]
    said = next((problem for problem in problems if problem), "")
    assert good == expected.get("calls", [])
    assert reply.reasoning == expected.get("reasoning", "")
    assert reply.cut is expected.get("cut", False)
    assert bool(said) is bool(expected.get("problem")), said
    assert expected.get("problem", "") in said
    if not said:
        assert reply.content == expected.get("content", "")


@pytest.mark.parametrize("document", documents(errors=True))
def test_an_error_is_read(document: dict[str, Any]):
    expected = document["expected"]
    assert expected
    assert set(expected) <= ERROR
    error = refusals.parse_error(document["status"], json.dumps(document["body"]))
    read = {
        "overflow": refusals.is_overflow(error),
        "retryable": is_retryable(error.status),
        "reply_tokens": refusals.allowed_reply_tokens(error),
    }
    assert {key: read[key] for key in expected if key in read} == {
        key: value for key, value in expected.items() if key in read
    }
    assert expected.get("message", "") in error.message
