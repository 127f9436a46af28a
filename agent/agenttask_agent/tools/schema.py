"""Turns an operation's parameters into the strict JSON schema a model is given.

The schema becomes a grammar in the server, so it stays within what every grammar
back end knows: no references, no null, and bounds everywhere except on long texts,
whose bound would unroll into a huge grammar. The full bounds are checked here.
"""

from typing import Any

from agenttask_agent.tools.operation import Operation, Params

MAX_GRAMMAR_LENGTH = 10_000
DROPPED = frozenset({"title", "default", "$defs"})


def tool_schema(operation: Operation[Any]) -> dict[str, object]:
    """Return the tool as the chat API wants it."""
    function = {
        "name": operation.wire_name,
        "description": operation.description,
        "strict": True,
        "parameters": parameters_schema(operation.params),
    }
    return {"type": "function", "function": function}


def parameters_schema(params: type[Params]) -> dict[str, object]:
    """Return the schema of one operation's arguments."""
    schema = params.model_json_schema()
    properties = {name: _simple(value) for name, value in schema.get("properties", {}).items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(schema.get("required", [])),
        "additionalProperties": False,
    }


def _simple(schema: dict[str, Any]) -> dict[str, Any]:
    choices = [c for c in schema.get("anyOf", ()) if c.get("type") != "null"]
    rest = {k: v for k, v in schema.items() if k not in DROPPED and k != "anyOf"}
    if len(choices) == 1:
        rest = choices[0] | rest
    elif choices:
        rest["anyOf"] = [_simple(choice) for choice in choices]
    if "items" in rest:
        rest["items"] = _simple(rest["items"])
    if rest.get("maxLength", 0) > MAX_GRAMMAR_LENGTH:
        del rest["maxLength"]
    return {k: v for k, v in rest.items() if k not in DROPPED}
