"""The start-up probe: what the model server can do, found out before the work begins.

At most three cheap calls: the list of models, one question with a schema, one with a
required tool. Each question has exactly one right answer, so what comes back tells
whether the constraint was obeyed. A run has one endpoint and one model, so it asks
once; the tokens count in its budget like all others. With a cache only the list of
models is asked for, as long as it says what it said.
"""

import json
import re
from collections.abc import Callable
from typing import Protocol

from agenttask_agent.messages import Message, Reply
from agenttask_agent.models.parsing import parse_reply
from agenttask_agent.models.probecache import ProbeCache
from agenttask_agent.outcome import ModelRefused
from agenttask_api.agentclass import Profile
from agenttask_api.result import Capabilities

SMALL_BILLIONS = 8.0
"""Up to this size a model is driven by bounded questions (agents measured in 2026)."""
SHORT_WINDOW = 16_000
"""Tokens; a shorter context has no room for native tool schemas and file contents."""
ANSWER = "x7"
TOOL = "probe"
PROBE_TOKENS = 48
UNSUPPORTED = frozenset({400, 422, 501})
"""How a server says that it does not know what was asked; other refusals end the run."""
SIZE = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])")
SCHEMA: Message = {
    "type": "object",
    "properties": {"a": {"enum": [ANSWER]}},
    "required": ["a"],
    "additionalProperties": False,
}


class Endpoint(Protocol):
    """What a probe needs of a model client."""

    def ask(self, request: Message) -> Message:
        """Return the body of a chat completion; raises Stop, ModelRefused for a 4xx."""
        ...

    def context_window(self) -> int | None:
        """Return the server's context length in tokens, None when it does not say."""
        ...


def probe(
    endpoint: Endpoint,
    name: str,
    window: int | None,
    count: Callable[[Reply], None],
    cache: ProbeCache | None = None,
) -> Capabilities:
    """Return what the model `name` can do; `window` is a known context length.

    Every answer is given to `count`. Raises Stop when the model cannot be asked at all.
    """
    cache = cache or ProbeCache()
    length = window or endpoint.context_window()
    known = cache.recall(name, length)
    if known is None:
        known = _found(endpoint, name, length, count)
        cache.keep(known)
    return known


def _found(
    endpoint: Endpoint, name: str, length: int | None, count: Callable[[Reply], None]
) -> Capabilities:
    written = _asked(endpoint, _schema_question(), count)
    called = _asked(endpoint, _tool_question(), count)
    return Capabilities(
        model=name,
        context_window=length,
        structured_output=written is not None and _is_answer(written.content),
        required_calls=called is not None and _called_right(called),
        thinking=any(reply is not None and bool(reply.reasoning) for reply in (written, called)),
    )


def choose_profile(asked: str, capabilities: Capabilities) -> Profile:
    """Return how to drive the model: as the class says, or by its size and window."""
    if asked != Profile.AUTO:
        return Profile(asked)
    size = billions(capabilities.model)
    window = capabilities.context_window
    short = window is not None and window < SHORT_WINDOW
    return (
        Profile.SMALL if short or (size or SMALL_BILLIONS + 1) <= SMALL_BILLIONS else Profile.LARGE
    )


def billions(name: str) -> float | None:
    """Return the parameters that a model's name tells, in billions; None when it tells none.

    Of several sizes, as in `30B-A3B`, the whole model's is the largest.
    """
    found = SIZE.findall(name.casefold())
    sizes = [
        int(experts or 1) * float(number) / (1000 if unit == "m" else 1)
        for experts, number, unit in found
    ]
    return max(sizes, default=None)


def _asked(endpoint: Endpoint, question: Message, count: Callable[[Reply], None]) -> Reply | None:
    """Return the reply, None when the server does not know what was asked."""
    try:
        reply = parse_reply(endpoint.ask(question), [TOOL])
    except ModelRefused as refused:
        if refused.status in UNSUPPORTED:
            return None
        raise
    count(reply)
    return reply


def _question() -> Message:
    return {
        "messages": [{"role": "user", "content": "ok"}],
        "max_completion_tokens": PROBE_TOKENS,
        "temperature": 0,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def _schema_question() -> Message:
    schema = {"name": TOOL, "schema": SCHEMA, "strict": True}
    return _question() | {"response_format": {"type": "json_schema", "json_schema": schema}}


def _tool_question() -> Message:
    function = {"name": TOOL, "description": "Answer.", "strict": True, "parameters": SCHEMA}
    tools = [{"type": "function", "function": function}]
    return _question() | {"tools": tools, "tool_choice": "required"}


def _answer() -> dict[str, object]:
    return {"a": ANSWER}


def _called_right(reply: Reply) -> bool:
    return [(c.name, c.arguments) for c in reply.calls] == [(TOOL, _answer())]


def _is_answer(content: str) -> bool:
    try:
        return bool(json.loads(content) == _answer())
    except (ValueError, RecursionError):
        return False
