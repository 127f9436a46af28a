"""The bodies a vLLM server sends, for answers and for errors.

Ids are made from the conversation, so that the same request has the same answer.
Tokens are counted as four characters each: stable, and near enough for budgets.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from agenttask_agent.rehearsal.placeholders import fill
from agenttask_agent.rehearsal.script import Reply

Body = dict[str, object]
CHARACTERS_PER_TOKEN = 4
FINGERPRINT = "rehearsal"
TYPES = {400: "BadRequestError", 404: "NotFoundError", 500: "InternalServerError"}
BUSY = (
    "The engine is currently busy and cannot accept new requests. Please try again later"
    " or on a different instance."
)


@dataclass(frozen=True)
class Refused(Exception):
    """An error answer in vLLM's shape."""

    status: int
    message: str
    param: str | None = None
    type: str = ""

    def body(self) -> Body:
        kind = self.type or TYPES.get(self.status) or "Service Unavailable"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.status}
        return {"error": error}


def count_tokens(value: object) -> int:
    """Return the tokens that a part of a request is taken for."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return max(1, len(text) // CHARACTERS_PER_TOKEN)


def prompt_tokens(request: Body) -> int:
    """Return the tokens of messages and tools together."""
    tools = request.get("tools")
    return count_tokens(request.get("messages") or []) + (count_tokens(tools) if tools else 0)


def completion(
    reply: Reply, request: Body, messages: Sequence[dict[str, object]], truncate: bool
) -> Body:
    """Return the chat completion for a scripted reply."""
    seed = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()
    calls = [
        _call(call.name, call.arguments, messages, seed, i)
        for i, call in enumerate(reply.tool_calls)
    ]
    content = _before_stop(str(fill(reply.content, messages)), request.get("stop"))
    message = _message(reply, content, calls, truncate)
    written = count_tokens(str(message["content"] or "") + json.dumps(calls))
    read = prompt_tokens(request)
    return {
        "id": f"chatcmpl-{seed[:32]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.get("model"),
        "choices": [_choice(message, bool(calls), truncate)],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": {
            "prompt_tokens": read,
            "total_tokens": read + written,
            "completion_tokens": written,
            "prompt_tokens_details": None,
        },
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "kv_transfer_params": None,
    }


def _before_stop(content: str, stop: object) -> str:
    """Return the text before the first stop string, which a server leaves out."""
    words = stop if isinstance(stop, list) else [stop]
    ends = [content.find(word) for word in words if isinstance(word, str) and word]
    return content[: min((end for end in ends if end >= 0), default=len(content))]


def model_list(models: dict[str, int]) -> Body:
    """Return the answer of /v1/models for names and context lengths."""
    created = int(time.time())
    data: list[Body] = [
        {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "rehearsal",
            "root": name,
            "parent": None,
            "max_model_len": length,
            "permission": [],
        }
        for name, length in models.items()
    ]
    return {"object": "list", "data": data}


def tokenized(count: int, longest: int) -> Body:
    """Return the answer of /tokenize; the token ids mean nothing."""
    return {
        "count": count,
        "max_model_len": longest,
        "tokens": list(range(count)),
        "token_strs": None,
    }


def _choice(message: Body, has_calls: bool, truncate: bool) -> Body:
    reason = "length" if truncate else "tool_calls" if has_calls else "stop"
    return {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": reason,
        "stop_reason": None,
        "token_ids": None,
    }


def _message(reply: Reply, content: str, calls: list[Body], truncate: bool) -> Body:
    if truncate:
        content, calls = _cut(content, calls), []
    return {
        "role": "assistant",
        "content": content or None,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": calls,
        "reasoning": reply.reasoning or None,
    }


def _cut(content: str, calls: list[Body]) -> str:
    """Return what is left of a reply at the token limit: a call becomes raw text."""
    if not calls:
        return content[: len(content) // 2]
    text = json.dumps(calls[0]["function"])
    return f"{content}<tool_call>\n{text[: len(text) * 2 // 3]}"


def _call(
    name: str, arguments: object, messages: Sequence[dict[str, object]], seed: str, index: int
) -> Body:
    filled = fill(arguments, messages)
    text = filled if isinstance(filled, str) else json.dumps(filled, ensure_ascii=False)
    identity = hashlib.sha256(f"{seed}/{index}".encode()).hexdigest()[:32]
    function = {"name": name, "arguments": text}
    return {"id": f"chatcmpl-tool-{identity}", "type": "function", "function": function}
