"""The scripted model server: vLLM's shapes, stateless replies, planned faults."""

import socket
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from tests.agent.conftest import MODEL, PACKAGES, REHEARSALS, call, script_of
from tests.agent.door import serving

from agenttask_agent.rehearsal.placeholders import Unfilled, fill
from agenttask_agent.rehearsal.script import BadScript, Script, load_script, parse_script
from agenttask_agent.rehearsal.server import make_app

TOOLS = [{"type": "function", "function": {"name": "files_read_file", "parameters": {}}}]
USER = {"role": "user", "content": "Please do the work"}
ASSISTANT = {"role": "assistant", "content": "ok"}


@pytest.fixture
def ask():
    """Serve scripts and ask them; returns the response."""
    clients: list[Any] = []

    def connect(*scripts: Script) -> Any:
        server = serving(make_app(scripts))
        client = httpx.Client(base_url=server.__enter__(), trust_env=False)
        clients.append((server, client))

        def post(*messages: dict[str, Any], path="/v1/chat/completions", **fields: Any) -> Any:
            body = {"model": MODEL, "messages": list(messages), "tools": TOOLS, **fields}
            return client.post(path, json={k: v for k, v in body.items() if v is not None})

        post.client = client  # type: ignore[attr-defined]
        return post

    yield connect
    for server, client in clients:
        client.close()
        server.__exit__(None, None, None)


def test_with_a_key_everything_below_v1_demands_it():
    app = make_app([script_of({"content": "hi"})], key="sk-rehearsed")
    with serving(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        given = [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "sk-rehearsed"}]
        assert [client.get("/v1/models", headers=h).status_code for h in given] == [401] * 3
        good = {"Authorization": "Bearer sk-rehearsed"}
        assert client.get("/v1/models", headers=good).status_code == 200
        assert client.get("/health").status_code == 200


def test_an_answer_has_the_shape_of_vllm_and_says_that_it_is_a_rehearsal(ask):
    response = ask(script_of(call("files_read_file", path="a") | {"content": "I look."}))(USER)
    body = response.json()
    assert response.headers["x-agenttask-rehearsal"] == "script"
    assert (body["object"], body["model"]) == ("chat.completion", MODEL)
    assert body["system_fingerprint"] == "rehearsal"
    assert body["id"].startswith("chatcmpl-")
    choice = body["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "I look.")
    tool = choice["message"]["tool_calls"][0]
    assert tool["function"] == {"name": "files_read_file", "arguments": '{"path": "a"}'}
    assert tool["id"].startswith("chatcmpl-tool-")
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 2


def test_the_reply_is_counted_from_the_conversation(ask):
    post = ask(script_of(*[{"content": f"reply {n}"} for n in range(3)]))
    for order in ((0, 1, 2), (2, 0, 1), (1, 1, 1)):
        for turn in order:
            history = [ASSISTANT, {"role": "user", "content": "go on"}] * turn
            message = post(USER, *history).json()["choices"][0]["message"]
            assert message["content"] == f"reply {turn}"


def test_the_same_request_has_the_same_answer(ask):
    post = ask(script_of({"content": "x"}))
    first, second = post(USER).json(), post(USER).json()
    assert first | {"created": 0} == second | {"created": 0}


@pytest.mark.parametrize(
    ("fields", "status", "param", "words"),
    [
        ({"model": "nope"}, 404, "model", "The model `nope` does not exist."),
        ({"tools": []}, 400, "tools", "at least 1 item"),
        ({"tools": None, "tool_choice": "auto"}, 400, "tool_choice", "`tools` must be set"),
        ({"stream": True}, 400, "stream", "does not stream"),
        ({"max_completion_tokens": 99999}, 400, "max_tokens", "greater than max_model_len=32768"),
        ({"messages": [USER | {"content": "x" * 200_000}]}, 400, "input_tokens", "maximum context"),
        ({"messages": []}, 400, "messages", "at least one"),
        ({"messages": "x"}, 400, "messages", "valid list"),
    ],
)
def test_bad_requests_are_refused_as_vllm_does(ask, fields, status: int, param: str, words: str):
    response = ask(script_of({"content": "x"}))(USER, **fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, status, param)
    assert words in error["message"]
    assert error["type"] == ("NotFoundError" if status == 404 else "BadRequestError")


def test_an_unknown_conversation_is_told_the_known_ones(ask):
    response = ask(script_of({"content": "x"}, match="hello"), script_of({"content": "y"}))(
        {"role": "user", "content": "something"}
    )
    assert response.json()["choices"][0]["message"]["content"] == "y"
    refused = ask(script_of({"content": "x"}, match="hello"))(USER)
    assert (refused.status_code, "'hello'" in refused.text) == (400, True)


def test_a_conversation_beyond_the_script_is_refused(ask):
    response = ask(script_of({"content": "x"}))(USER, ASSISTANT)
    assert (response.status_code, "no reply number 2" in response.text) == (400, True)


def test_other_endpoints(ask):
    post = ask(script_of({"content": "x"}))
    client = post.client
    assert client.get("/health").status_code == 200
    assert client.get("/version").json() == {"version": "0.32.0"}
    model = client.get("/v1/models").json()["data"][0]
    assert (model["id"], model["max_model_len"], model["owned_by"]) == (MODEL, 32768, "rehearsal")
    assert post(USER, path="/tokenize").json()["count"] > 0
    assert "vllm:num_requests_running" in client.get("/metrics").text
    for path, status, detail in (
        ("/v2/x", 404, "Not Found"),
        ("/tokenize", 405, "Method Not Allowed"),
    ):
        response = client.get(path)
        assert (response.status_code, response.json()) == (status, {"detail": detail})
        assert response.headers["x-agenttask-rehearsal"]
    garbage = client.post("/v1/chat/completions", content=b"{")
    assert (garbage.status_code, garbage.json()["error"]["type"]) == (400, "Bad Request")


def test_a_status_fault_ends_after_its_times(ask):
    post = ask(script_of({"content": "x", "fault": {"status": 503, "times": 2}}))
    assert [post(USER).status_code for _ in range(4)] == [503, 503, 200, 200]
    other = {"role": "user", "content": "another agent"}
    assert post(other).status_code == 503, "each conversation has its own faults"
    assert "engine is currently busy" in post(other).json()["error"]["message"]


def test_a_dropped_connection(ask):
    post = ask(script_of({"content": "x", "fault": {"drop": True}}))
    with pytest.raises(httpx.TransportError):
        post(USER)
    assert post(USER).status_code == 200


def test_garbage_and_truncation(ask):
    broken = ask(script_of({"content": "x", "fault": {"garbage": True}}))(USER)
    with pytest.raises(ValueError):
        broken.json()
    reply = call("files_write_file", path="a.txt", content="long") | {"fault": {"truncate": True}}
    choice = ask(script_of(reply))(USER).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"] == []
    assert choice["message"]["content"].startswith('<tool_call>\n{"name": "files_write_file"')


def test_a_delay_comes_before_the_scripted_answer(ask):
    started = time.monotonic()
    assert ask(script_of({"content": "x", "fault": {"delaySeconds": 0.2}}))(USER).status_code == 200
    assert time.monotonic() - started >= 0.2


EXAMPLES = [REHEARSALS / "hello-world.yaml", REHEARSALS / "hello-world-wrong.yaml"]
READ: list[dict[str, Any]] = [
    {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "read"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "[read: ok]\nfirst = 1\nsecond = a/b\n"},
    {"role": "assistant", "tool_calls": [{"id": "2", "function": {"name": "list"}}]},
    {"role": "tool", "tool_call_id": "2", "content": "[list: ok]\nx.py"},
    {"role": "assistant", "tool_calls": [{"id": "3", "function": {"name": "read"}}]},
    {
        "role": "tool",
        "tool_call_id": "3",
        "content": "[read: ok]\n<data-0a1b2c3d>\nthird\n</data-0a1b2c3d>",
    },
]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("${last.output}", "third"),
        ("${last.text}", "[read: ok]\nthird"),
        ("${tool.list.output}", "x.py"),
        ("${tool.read#1.output|/first = (\\d)/}", "1"),
        ("${tool.read#1.output|/a\\/b/}", "a/b"),
        ("<${tool.read.output}> and <${tool.list.output}>", "<third> and <x.py>"),
        ("$${last.output} ${other} $x {y}", "${last.output} ${other} $x {y}"),
    ],
)
def test_placeholders(template: str, filled: str):
    assert fill({"a": [template]}, READ) == {"a": [filled]}


@pytest.mark.parametrize(
    "template", ["${tool.none.output}", "${tool.read#9.output}", "${last.output|/nowhere/}"]
)
def test_a_placeholder_without_a_value_is_an_error(ask, template: str):
    with pytest.raises(Unfilled):
        fill(template, READ)
    response = ask(script_of(call("x", a=template)))(USER)
    assert (response.status_code, "rehearsal" in response.text) == (400, True)


def test_what_was_read_is_not_expanded_again():
    messages: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": "1", "content": "[x: ok]\n${last.text}"}
    ]
    assert fill("${last.output}", messages) == "${last.text}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: [", "not YAML"),
        ("a string", "file"),
        ("model: m\nconversations: []", "conversations"),
        ("model: m\nconversations: [{match: '(', replies: [{content: x}]}]", "regular expression"),
        ("model: m\nconversations: [{match: a, replies: []}]", "replies"),
        ("model: m\nconversations: [{match: a, replies: [{}]}]", "content, tool_calls or fault"),
        ("model: m\nconversations: [{match: a, replies: [{contents: x}]}]", "contents"),
        ("model: m\nconversations: [{match: a, replies: [{fault: {}}]}]", "exactly one"),
        ("model: m\nconversations: [{match: a, replies: [{fault: {status: 200}}]}]", "status"),
    ],
)
def test_a_bad_script_is_explained(text: str, words: str):
    with pytest.raises(BadScript, match=words):
        parse_script(text)


def test_the_examples_load_together(ask):
    scripts = [load_script(path) for path in EXAMPLES]
    assert [script.name for script in scripts] == ["hello-world", "hello-world-wrong"]
    post = ask(*scripts)
    for prompt, tool in (
        ("Add function hello_world() to utils.py", "files_list_files"),
        ("Shorten slugify in utils.py", "files_read_file"),
    ):
        asked = post({"role": "user", "content": prompt}, model=scripts[0].model)
        answer = asked.json()["choices"][0]["message"]
        assert answer["tool_calls"][0]["function"]["name"] == tool


def test_the_command_serves_several_scripts_and_ends_on_sigterm():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scripts = [str(path) for path in EXAMPLES]
    command = [sys.executable, "-m", "agenttask_agent", "rehearse", *scripts, f"--port={port}"]
    process = subprocess.Popen(
        command, env={"PYTHONPATH": PACKAGES, "PATH": "/usr/bin"}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "rehearsing hello-world, hello-world-wrong" in process.stdout.readline()
        health = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
        assert health.headers["x-agenttask-rehearsal"] == "hello-world,hello-world-wrong"
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_command_refuses_a_bad_script(tmp_path):
    (tmp_path / "bad.yaml").write_text("model: 1")
    done = subprocess.run(
        [sys.executable, "-m", "agenttask_agent", "rehearse", str(tmp_path / "bad.yaml")],
        env={"PYTHONPATH": PACKAGES, "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "bad.yaml" in done.stderr) == (2, True)
