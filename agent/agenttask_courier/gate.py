"""The model gate: the agent's only way to a model, and the one who counts.

Passes requests on to vLLM with the task's model, the key and capped lengths, and
relays the answer as it came. One call at a time, so that the budget is overshot by
at most one. The agent's own count is never asked for.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pydantic_core

from agenttask_api.status import Usage
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.errors import Refused, bad_request
from agenttask_courier.journal import log, now
from agenttask_courier.modelspans import told_call
from agenttask_courier.tracing import NOWHERE, Spans
from agenttask_courier.upstream import Relayed, TooLarge, Unreachable, Upstream

MAX_CHOICES = 8
BYTES_PER_TOKEN = 4
"""For counting an answer that tells no usage: rather too much than nothing."""
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_LENGTHS = ("max_tokens", "max_completion_tokens")
CHAT_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "messages": {"type": "array"},
        "stream": {"enum": [False, None]},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_CHOICES},
        **{name: {"type": ["integer", "null"], "minimum": 1} for name in _LENGTHS},
    },
}
"""JSON Schema of what the gate looks at; the rest is vLLM's to judge."""


@dataclass
class Gate:
    """One run's access to its model."""

    document: TaskDocument
    client: Upstream
    key_file: Path
    on_usage: Callable[[Usage], None] = lambda _: None
    spans: Spans = NOWHERE
    usage: Usage = Usage()
    first_call: str = ""
    """When the first model call was let through, RFC 3339."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _why: str = ""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def close(self, why: str) -> None:
        """Let no further call through and break off the one under way."""
        if not self.closed.is_set():
            self._why = why
            self.closed.set()
            log("gate.closed", why=why)

    async def chat(self, body: dict[str, object]) -> Relayed:
        """Answer POST /v1/chat/completions; raises Refused."""
        async with self._turn:
            self._check_open()
            request = prepare_chat(body, self.document, self._remaining())
            self._note_first_call()
            with told_call(self.spans, request) as call:
                under = call.span.headers()
                try:
                    answer = await self._ask("POST", "/v1/chat/completions", request, under)
                except asyncio.CancelledError:
                    self._count(_tokens_of(request), 0)  # Walked away from, but paid for.
                    raise
                spent = _usage_of(answer) or _estimate(request, answer)
                call.answered(answer.status, *spent)
                self._count(*spent)
        return answer

    def _note_first_call(self) -> None:
        if not self.first_call:
            self.first_call = now()
            log("first_model_call")

    async def tokenize(self, body: dict[str, object]) -> Relayed:
        """Answer POST /tokenize; costs no tokens."""
        self._check_open()
        return await self._ask("POST", "/tokenize", {**body, "model": self.document.model.name})

    async def models(self) -> dict[str, object]:
        """Answer GET /v1/models with the task's model alone, as upstream describes it."""
        self._check_open()
        answer = await self._ask("GET", "/v1/models", None)
        return {"object": "list", "data": _models_named(answer.body, self.document.model.name)}

    def _check_open(self) -> None:
        if self.closed.is_set():
            raise Refused(403, "gate_closed", f"no model calls any more: {self._why}")

    def _remaining(self) -> int:
        budget = self.document.constraints.max_model_tokens
        left = budget - self.usage.total_tokens
        if left <= 0:
            raise Refused(403, "budget_exceeded", f"the budget of {budget} tokens is spent")
        return left

    async def _ask(
        self, method: str, path: str, body: object, under: Mapping[str, str] = NO_HEADERS
    ) -> Relayed:
        """Ask upstream, or stop asking when the gate closes."""
        asking = asyncio.create_task(self._send(method, path, body, under))
        closing = asyncio.create_task(self.closed.wait())
        try:
            await asyncio.wait({asking, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                self._check_open()
            return await asking
        finally:
            asking.cancel()
            closing.cancel()

    async def _send(
        self, method: str, path: str, body: object, under: Mapping[str, str]
    ) -> Relayed:
        content = None if body is None else written(body)
        try:
            return await self.client.ask(method, path, content, {**self._headers(), **under})
        except Unreachable as error:
            words = f"the model endpoint cannot be reached: {error}"
            raise Refused(502, "upstream_unreachable", words) from error
        except TooLarge as error:
            words = "the model endpoint's answer is too large"
            raise Refused(502, "upstream_too_large", words) from error

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self.key_file.exists():
            headers["Authorization"] = f"Bearer {self.key_file.read_text('utf-8').strip()}"
        return headers

    def _count(self, input_tokens: int, output_tokens: int) -> None:
        before = self.usage
        self.usage = Usage(
            model_calls=before.model_calls + 1,
            input_tokens=before.input_tokens + input_tokens,
            output_tokens=before.output_tokens + output_tokens,
            total_tokens=before.total_tokens + input_tokens + output_tokens,
        )
        self.on_usage(self.usage)


def written(body: object) -> bytes:
    """Return JSON anew, in UTF-8: upstream reads what was checked here, not what was sent.

    The agent's own bytes would do for a parser that sees in them what ours saw; of two
    equal keys, say, another takes the other.
    """
    return pydantic_core.to_json(body)


def prepare_chat(
    body: dict[str, object], document: TaskDocument, remaining: int
) -> dict[str, object]:
    """Return the request as upstream gets it; raises Refused for what is not allowed."""
    if body.get("stream") not in (None, False):
        raise bad_request("stream is not supported here; ask without it")
    choices = _number(body, "n") or 1
    if choices > MAX_CHOICES:
        raise bad_request(f"n is at most {MAX_CHOICES}")
    _check_only_text(body.get("messages"))
    request = {**body, "model": document.model.name}
    cap = max(1, remaining // choices)
    if document.model.max_tokens is not None:
        cap = min(cap, document.model.max_tokens)
    return _with_lengths(request, cap, document.model.max_tokens is not None)


def _with_lengths(request: dict[str, object], cap: int, always: bool) -> dict[str, object]:
    """Cap the lengths asked for; without any, set one only if the task has a bound.

    Otherwise vLLM's own default holds, the rest of the context: a number larger than
    that would be refused.
    """
    asked = [name for name in _LENGTHS if _number(request, name) is not None]
    for name in _LENGTHS:
        request.pop(name, None) if name not in asked else None
    for name in asked:
        request[name] = min(int(str(request[name])), cap)
    if not asked and always:
        request["max_tokens"] = cap
    return request


def _number(body: dict[str, object], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise bad_request(f"{name} is no positive whole number")
    return value


def _check_only_text(messages: object) -> None:
    """Refuse content that the model server would fetch from an address on our behalf."""
    if not isinstance(messages, list):
        raise bad_request("messages is no list")
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else []:
            kind = part.get("type") if isinstance(part, dict) else None
            if not isinstance(kind, str) or kind.endswith("_url"):
                raise bad_request("only text content is allowed")


def _usage_of(answer: Relayed) -> tuple[int, int] | None:
    """Return prompt and completion tokens; None when a good answer does not tell them."""
    if answer.status != 200:
        return 0, 0
    try:
        usage = json.loads(answer.body)["usage"]
        told = int(usage["prompt_tokens"]), int(usage["completion_tokens"] or 0)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None
    return max(0, told[0]), max(0, told[1])


def _estimate(request: dict[str, object], answer: Relayed) -> tuple[int, int]:
    return _tokens_of(request), len(answer.body) // BYTES_PER_TOKEN


def _tokens_of(request: dict[str, object]) -> int:
    return len(json.dumps(request)) // BYTES_PER_TOKEN


def _models_named(body: bytes, name: str) -> list[object]:
    try:
        models = json.loads(body)["data"]
        return [m for m in models if m["id"] == name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
