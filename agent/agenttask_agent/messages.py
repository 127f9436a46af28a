"""The conversation as it goes over the wire, and the model's reply as we read it.

The list of messages only ever grows at its end: a stable beginning is what makes
the server's prefix cache work.
"""

import json
from dataclasses import dataclass

Message = dict[str, object]


@dataclass(frozen=True)
class ToolCall:
    """One call the model asked for; with `problem` set it must not be executed."""

    id: str
    name: str
    arguments: dict[str, object]
    problem: str = ""


@dataclass(frozen=True)
class Reply:
    """One answer of the model.

    `problem` is set when the text tried to be a tool call and could not be read as
    one, or was cut off in the middle of one.
    """

    content: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    problem: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cut: bool = False
    """Whether it ended at the token limit."""


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(reply: Reply) -> Message:
    """Return the reply for the history, with calls re-encoded as valid JSON.

    Chat templates parse the arguments again, so broken ones would turn every later
    request into a 400. The reasoning is left out: templates drop it anyway.
    """
    if not reply.calls:
        return {"role": "assistant", "content": reply.content or "(nothing)"}
    return {
        "role": "assistant",
        "content": reply.content,
        "tool_calls": [_wire_call(call) for call in reply.calls],
    }


def tool(call: ToolCall, text: str) -> Message:
    return {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": text}


def _wire_call(call: ToolCall) -> Message:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": call.id, "type": "function", "function": function}
