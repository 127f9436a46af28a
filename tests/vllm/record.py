"""Record a real vLLM's answers for tests/agent/recorded.

`python -m tests.vllm.record URL SERVER [NAME...]`. Each case is a request that leads a
small model, or one with random weights, to one of the answers that the agent has to
read. A file that is there keeps what a person wrote into `expected`; a new answer is
printed, for a person to read and to write it.

| SERVER | how it was started |
|---|---|
| `coder` | `hack/vllm/serve serve` |
| `noise` | `NAME=tiny STRUCTURED= hack/vllm/serve serve` |
| `thinking` | the same with `EXTRA="--reasoning-parser qwen3"` |
"""

import json
import sys
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parents[1] / "agent" / "recorded"
CHAT = "/v1/chat/completions"
SECONDS = 300.0
Request = dict[str, Any]

PATH = {"type": "string", "description": "relative to the repository"}
READ_SCHEMA = {
    "type": "object",
    "properties": {"path": PATH},
    "required": ["path"],
    "additionalProperties": False,
}
ONE = {"a": {"enum": ["x7"]}}
SCHEMA = {"type": "object", "properties": ONE, "required": ["a"], "additionalProperties": False}


def tool(strict: bool = True, name: str = "files_read_file") -> Request:
    """Return the tool as the agent offers it, or without `strict`."""
    function = {"name": name, "description": "Read a text file.", "parameters": READ_SCHEMA}
    return {"type": "function", "function": function | ({"strict": True} if strict else {})}


def chat(text: str, **more: Any) -> Request:
    """Return a short question."""
    asked = [{"role": "user", "content": text}]
    return {"messages": asked, "temperature": 0, "max_completion_tokens": 120, **more}


def copy(form: str) -> Request:
    """Return the question for a reply in a form that servers or models leave as text."""
    return chat(f"Reply with exactly this text and nothing else:\n\n{form}")


CALL = '{"name": "files_read_file", "arguments": {"path": "utils.py"}}'
TAGGED = f"<tool_call>\n{CALL}\n</tool_call>"
PICK = {"type": "function", "function": {"name": "files_read_file"}}


def going_on(beginning: str) -> Request:
    """Return the request to end a reply of which the beginning is given.

    `<tool_call>` is one token of this model, and servers leave such tokens out of texts.
    """
    asked = chat(f"Read utils.py by a tool call such as\n{TAGGED}")
    asked["messages"].append({"role": "assistant", "content": beginning})
    asked |= {"add_generation_prompt": False, "continue_final_message": True, "echo": True}
    return asked | {"skip_special_tokens": False, "stop": ["<|im_end|>"]}


def schema(value: Request, **more: Any) -> Request:
    """Return the fields that bind a reply to a schema."""
    bound = {"name": "probe", "schema": value, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": bound}, **more}


CODER: dict[str, Request] = {
    "small-model-calls-a-file-as-a-tool": chat("Show me utils.py.", tools=[tool()]),
    "required-strict-is-a-call": chat("Read utils.py.", tools=[tool()], tool_choice="required"),
    "named-choice-finishes-with-stop": chat("Read utils.py.", tools=[tool()], tool_choice=PICK),
    "call-cut-at-max-tokens-is-content": chat(
        "Read utils.py.", tools=[tool()], tool_choice="required", max_completion_tokens=12
    ),
    "small-model-prints-a-bare-call": copy(CALL),
    "small-model-prints-a-fenced-call": copy(f"```json\n{CALL}\n```"),
    "small-model-prints-an-xml-call": copy(
        "<function=files_read_file>\n<parameter=path>\nutils.py\n</parameter>\n</function>"
    ),
    "small-model-announces-a-call": copy(f"I will read the file first.\n\n{CALL}"),
    "small-model-encodes-arguments-twice": copy(
        '{"name": "files_read_file", "arguments": "{\\"path\\": \\"utils.py\\"}"}'
    ),
    "small-model-prints-a-python-call": copy(CALL.replace('"', "'")),
    "small-model-breaks-a-tagged-call": going_on("<tool_call>\n{"),
    "small-model-prints-tagged-calls": going_on(f"{TAGGED}\n<tool_call>\n{{"),
    "small-model-calls-an-unknown-tool-after-prose": going_on(
        'First I read the file: {"name": "files_'
    ),
    "small-model-calls-an-unknown-tool": going_on('<tool_call>\n{"name": "open_browser",'),
    "small-model-gives-a-number-for-a-path": copy(
        '{"name": "files_read_file", "arguments": {"path": 5}}'
    ),
    "small-model-misspells-arguments": copy('<tool_call>\n{"name": "files_read_file", "argum'),
    "prose-cut-at-max-tokens": chat("Tell a long story.", max_completion_tokens=24),
    "probe-schema-obeyed": chat("ok", **schema(SCHEMA)),
    "overflow-0.32": chat("word " * 9000),
    "max-tokens-too-large": chat("ok", max_completion_tokens=50_000),
    "no-such-model": chat("ok", model="nope"),
    "no-tools-in-the-list": chat("ok", tools=[], tool_choice="auto"),
    "schema-that-is-none": chat("ok", **schema({"type": "objekt"})),
    "unknown-route": {},
}
ANY_NUMBER = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
READ = {"tools": [tool(strict=False)], "temperature": 1, "max_completion_tokens": 40}
NOISE: dict[str, Request] = {
    "required-without-strict-boolean": chat("Read.", **READ, tool_choice="required", seed=2),
    "required-without-strict-text": chat("Read.", **READ, tool_choice="required", seed=28),
    "required-without-strict-null": chat("Read.", **READ, tool_choice=PICK, seed=5),
    "random-model-fills-a-strict-call": chat(
        "Read.", tools=[tool()], tool_choice="required", temperature=1, seed=2
    ),
    "whitespace-loop": chat("ok", **schema(ANY_NUMBER), temperature=1, seed=4),
    "noise": chat("Read utils.py.", temperature=1, seed=1),
}
THINKING: dict[str, Request] = {
    "thinking-swallowed-the-call": chat(
        "Read.", tools=[tool()], tool_choice="required", temperature=1, seed=2
    ),
    "thinking-swallowed-the-grammar": chat(
        "ok", **schema(SCHEMA), temperature=1, seed=6, max_completion_tokens=30
    ),
    "include-reasoning-false-drops-everything": chat(
        "ok", temperature=1, seed=6, max_completion_tokens=30, include_reasoning=False
    ),
}
CASES = {"coder": CODER, "noise": NOISE, "thinking": THINKING}


def main(url: str, server: str, wanted: list[str]) -> None:
    """Ask for each case and keep the answer."""
    with httpx.Client(base_url=url, timeout=SECONDS) as client:
        version = client.get("/version").json()["version"]
        model = client.get("/v1/models").json()["data"][0]["id"]
        cases = CASES[server]
        for name in wanted or list(cases):
            route = CHAT if cases[name] else "/v1/nothing"
            answer = client.post(route, json={"model": model} | cases[name])
            keep(name, f"vLLM {version} on CPU, model {model}", cases[name], answer)


def keep(name: str, server: str, request: Request, answer: httpx.Response) -> None:
    """Write the file of one answer."""
    path = FOLDER / f"{name}.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    asked = str(request.get("messages", [{}])[0].get("content", ""))[:300]
    rest = {k: v for k, v in request.items() if k != "messages"}
    found: dict[str, Any] = {"source": f"recorded: {server}", "request": {"asked": asked, **rest}}
    if answer.status_code != httpx.codes.OK:
        found["status"] = answer.status_code
    found |= {"body": answer.json(), "expected": known.get("expected", {})}
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"== {name}: {answer.status_code}\n{answer.text[:700]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
