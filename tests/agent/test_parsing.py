"""The ladder from a server's answer to tool calls."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_agent import messages
from agenttask_agent.messages import Reply
from agenttask_agent.models.parsing import parse_object, parse_reply, repair_name
from agenttask_agent.models.refusals import (
    allowed_reply_tokens,
    is_overflow,
    needs_required,
    parse_error,
)

NAMES = ["files_read_file", "files_write_file", "git_status", "tests_pytest", "finish"]
READ = ("files_read_file", {"path": "a.py"})


def answer(content: Any = None, calls: Any = None, finish: str = "stop", **message: Any) -> Any:
    message = {"role": "assistant", "content": content, "tool_calls": calls, **message}
    return {
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


def native(name: str, arguments: Any) -> Any:
    return {"id": "call-1", "type": "function", "function": {"name": name, "arguments": arguments}}


def calls_of(body: Any) -> list[tuple[str, dict[str, object]]]:
    return [
        (call.name, call.arguments) for call in parse_reply(body, NAMES).calls if not call.problem
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param('{"path": "a.py"}', id="an object as text"),
        pytest.param({"path": "a.py"}, id="an object"),
        pytest.param(json.dumps('{"path": "a.py"}'), id="encoded twice"),
        pytest.param('```json\n{"path": "a.py"}\n```', id="in a fence"),
        pytest.param('{"path": "a.py",}', id="a trailing comma"),
        pytest.param("{'path': 'a.py'}", id="a python literal"),
    ],
)
def test_arguments_of_native_calls(arguments: Any):
    assert calls_of(answer(calls=[native("files_read_file", arguments)])) == [READ]


@pytest.mark.parametrize("arguments", ["", "null", None])
def test_no_arguments_are_an_empty_object(arguments: Any):
    assert calls_of(answer(calls=[native("git_status", arguments)])) == [("git_status", {})]


@pytest.mark.parametrize("arguments", ["[1]", "{", "path=a", "3", '"text"'])
def test_arguments_that_are_no_object_are_a_problem(arguments: str):
    call = parse_reply(answer(calls=[native("git_status", arguments)]), NAMES).calls[0]
    assert "not one JSON object" in call.problem


CALL = '{"name": "files_read_file", "arguments": {"path": "a.py"}}'


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"<tool_call>\n{CALL}\n</tool_call>", id="tags"),
        pytest.param(f"I read it.\n<tool_call>{CALL}</tool_call>", id="tags after prose"),
        pytest.param(f"<tool_call>\n{CALL}\n", id="a tag that is not closed"),
        pytest.param(f"```json\n{CALL}\n```", id="a fence"),
        pytest.param(CALL, id="bare"),
        pytest.param(f"Next: {CALL} and then more", id="bare within prose"),
        pytest.param(CALL.replace('"', "'"), id="python"),
        pytest.param(f'{{"type": "function", "function": {CALL}}}', id="wrapped"),
        pytest.param(CALL.replace("arguments", "parameters"), id="parameters"),
        pytest.param(
            "<function=files_read_file>\n<parameter=path>\na.py\n</parameter>\n</function>",
            id="XML",
        ),
        pytest.param(f"<tool_call>\n[{CALL}]\n</tool_call>", id="a list"),
    ],
)
def test_calls_in_text(content: str):
    assert calls_of(answer(content)) == [READ]


def test_several_calls_keep_their_order():
    other = '<tool_call>{"name": "git_status", "arguments": {}}</tool_call>'
    reply = parse_reply(answer(f"Both. <tool_call>{CALL}</tool_call>{other}"), NAMES)
    assert [call.name for call in reply.calls] == ["files_read_file", "git_status"]
    assert len({call.id for call in reply.calls}) == 2
    assert reply.content == "Both."


@pytest.mark.parametrize(
    "content",
    [
        "Done.",
        "",
        None,
        'The config is {"a": 1}.',
        "Call files_read_file next",
        "```python\nx\n```",
        "a < b and c > d",
    ],
)
def test_prose_is_no_call(content: Any):
    reply = parse_reply(answer(content), NAMES)
    assert (reply.calls, reply.problem) == ((), "")


@pytest.mark.parametrize(
    "content",
    [
        "<tool_call>\n{not json</tool_call>",
        '{"name": "files_read_file", "arguments": {"path"',
        "<function=files_read_file><parameter=path>a",
        '<tool_call>{"name": "xyz"}</tool_call>',
    ],
)
def test_an_unreadable_call_is_a_problem(content: str):
    reply = parse_reply(answer(content), NAMES)
    assert (reply.calls, "cannot be read" in reply.problem) == ((), True)


def test_what_was_cut_off_is_never_executed():
    cut = parse_reply(answer(f"<tool_call>{CALL}</tool_call>", finish="length"), NAMES)
    assert (cut.calls, "cut off" in cut.problem) == ((), True)
    whole = answer(calls=[native("git_status", "{}")], finish="length")
    assert "cut off" in parse_reply(whole, NAMES).calls[0].problem
    prose = parse_reply(answer("a long story", finish="length"), NAMES)
    assert prose.problem == ""


def test_nothing_is_executed_from_the_reasoning():
    for field in ("reasoning", "reasoning_content"):
        reply = parse_reply(answer("ok", **{field: f"<tool_call>{CALL}</tool_call>"}), NAMES)
        assert (reply.calls, CALL in reply.reasoning) == ((), True)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("files.read_file", "files_read_file"),
        ("files-read-file", "files_read_file"),
        ("FILES_READ_FILE", "files_read_file"),
        ("read_file", "files_read_file"),
        ("files_read", "files_read_file"),
        ("git_statu", "git_status"),
        ("gti_status", "git_status"),
        ("pytest", "tests_pytest"),
        ("files", "files"),
        ("rm", "rm"),
        ("", ""),
        ("functions.nothing", "functions.nothing"),
    ],
)
def test_names_are_repaired_only_when_one_is_meant(written: str, meant: str):
    assert repair_name(written, NAMES) == meant


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "usage",
                    "finish_reason",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.text(max_size=200))
def test_any_answer_becomes_a_reply_that_can_be_sent_back(body: Any, content: str):
    whole = body if isinstance(body, dict) else {"choices": body}
    for given_body in (whole, answer(content, body), answer(body)):
        check_usable(parse_reply(given_body, NAMES))
    assert parse_reply(answer(content, body), NAMES).input_tokens == 7
    found = parse_object(content)
    assert found is None or json.loads(json.dumps(found)) == found


def check_usable(reply: Reply) -> None:
    """Assert that every part has its type and can be stored and sent as UTF-8."""
    assert min(reply.input_tokens, reply.output_tokens) >= 0
    for text in (reply.content, reply.reasoning, reply.problem):
        assert isinstance(text, str)
    for tool_call in reply.calls:
        assert isinstance(tool_call.name, str)
        assert isinstance(tool_call.arguments, dict)
    messages.assistant(reply)
    json.dumps([vars(c) for c in reply.calls], ensure_ascii=False).encode()


def test_deep_nesting_does_not_raise():
    assert not parse_reply(answer("<tool_call>" + "[" * 100_000 + "</tool_call>"), NAMES).calls
    assert parse_object("{" * 100_000) is None


@pytest.mark.parametrize("depth", [99, 200, 700, 850])
@pytest.mark.parametrize(("opening", "closing"), [('{"path": ', "}"), ("[", "]")])
def test_what_json_can_still_read_is_not_too_deep_for_us(depth: int, opening: str, closing: str):
    """Python reads a thousand levels, less those of its callers; a walk of our own read fewer."""
    text = f'{{"path": {opening * depth}1{closing * depth}}}'
    for arguments in (text, json.loads(text)):
        reply = parse_reply(answer(calls=[native("git_status", arguments)]), NAMES)
        check_usable(reply)
        assert reply.calls[0].arguments
    tagged = f'<tool_call>{{"name": "git_status", "arguments": {text}}}</tool_call>'
    check_usable(parse_reply(answer(tagged), NAMES))


@pytest.mark.parametrize(
    ("status", "body", "overflow"),
    [
        (400, {"error": {"message": "x", "param": "input_tokens", "code": 400}}, True),
        (400, {"error": {"message": "x", "param": "input_text", "code": 400}}, True),
        (400, {"error": {"message": "This model's maximum context length is 2048 tokens."}}, True),
        (400, {"error": {"message": "However, the model's context length is only 1024"}}, True),
        (413, "too large", True),
        (400, {"error": {"message": "Grammar error: Invalid type", "param": None}}, False),
        (500, {"error": {"message": "maximum context length"}}, False),
        (404, {"detail": "Not Found"}, False),
    ],
)
def test_an_overflow_is_recognised_in_every_wording(status: int, body: Any, overflow: bool):
    text = body if isinstance(body, str) else json.dumps(body)
    assert is_overflow(parse_error(status, text)) is overflow


@pytest.mark.parametrize("text", ["", "<html>", "[]", "3", '{"error": "text"}', '{"error": null}'])
def test_any_error_body_can_be_read(text: str):
    assert parse_error(502, text).status == 502


def test_what_the_server_says_about_our_request():
    text = "max_tokens=5000 cannot be greater than max_model_len=2048."
    body = {"error": {"message": text, "param": "max_tokens", "code": 400}}
    assert allowed_reply_tokens(parse_error(400, json.dumps(body))) == 1024
    auto = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    assert needs_required(parse_error(400, json.dumps({"error": {"message": auto}})))
