"""Questions that leave one answer: a constrained server gives it, whatever the script.

A grammar with a single sentence decides the reply alone, so a rehearsal answers such a
request - the agent's start-up probe is one - as vLLM would, without a scripted turn. A
script may say that its server does not obey constraints; then plain text comes back.
"""

import json

from agenttask_agent.rehearsal.script import Call, Reply, Script

UNCONSTRAINED = Reply(content="ok")
Found = tuple[object, ...]
"""The one value, or nothing."""


def forced_reply(request: dict[str, object], script: Script) -> Reply | None:
    """Return the reply to a request that leaves only one; None for all others."""
    tool = _required_tool(request)
    if tool:
        name, arguments = tool
        call = Call(name=name, arguments=_dict(arguments))
        return Reply(tool_calls=(call,)) if script.required_calls else UNCONSTRAINED
    value = only_value(_response_schema(request))
    if not value:
        return None
    return (
        Reply(content=json.dumps(value[0], ensure_ascii=False))
        if script.structured_output
        else UNCONSTRAINED
    )


def only_value(schema: object) -> Found:
    """Return the only value that a JSON schema allows, if it allows only one."""
    known = _dict(schema)
    if "const" in known:
        return (known["const"],)
    choices = known.get("enum")
    if isinstance(choices, list):
        return (choices[0],) if len(choices) == 1 else ()
    return _only_object(known) if known.get("type") == "object" else ()


def _only_object(schema: dict[str, object]) -> Found:
    properties = _dict(schema.get("properties"))
    required = schema.get("required")
    if schema.get("additionalProperties") is not False or not properties:
        return ()
    if not isinstance(required, list) or set(required) != set(properties):
        return ()
    values = {name: only_value(inner) for name, inner in properties.items()}
    return ({name: value[0] for name, value in values.items()},) if all(values.values()) else ()


def _required_tool(request: dict[str, object]) -> tuple[str, object] | None:
    """Return name and arguments where one strict tool must be called in one way."""
    tools = request.get("tools")
    if request.get("tool_choice") != "required" or not isinstance(tools, list) or len(tools) != 1:
        return None
    function = _dict(_dict(tools[0]).get("function"))
    value = only_value(function.get("parameters")) if function.get("strict") is True else ()
    return (str(function.get("name")), value[0]) if value else None


def _response_schema(request: dict[str, object]) -> object:
    form = _dict(request.get("response_format"))
    if form.get("type") == "json_schema":
        return _dict(form.get("json_schema")).get("schema")
    if form.get("type") == "structural_tag":
        return _dict(form.get("format")).get("json_schema")
    return _dict(request.get("structured_outputs")).get("json")


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
