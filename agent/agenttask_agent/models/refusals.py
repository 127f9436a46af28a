"""Reads error answers: vLLM's two shapes, and what our gate adds to them.

The wording of vLLM's context overflow has changed with every few versions, so the
error's `param` decides first and known wordings second.
"""

import json
import re
from dataclasses import dataclass

OVERFLOW_PARAMS = frozenset({"input_tokens", "input_text"})
OVERFLOW = re.compile(
    r"maximum context length|context length is only|prompt is too long"
    r"|longer than the maximum model length|reduce the length of the",
    re.IGNORECASE,
)
REPLY_PARAMS = frozenset({"max_tokens", "max_completion_tokens"})
MAX_MODEL_LEN = re.compile(r"max_model_len\D{0,3}(\d+)")
NEEDS_REQUIRED = re.compile(r"enable-auto-tool-choice|tool-call-parser", re.IGNORECASE)
DEADLINE = re.compile(r"deadline|time is over", re.IGNORECASE)
TOO_LARGE = 413
BAD_REQUEST = 400
MAX_MESSAGE = 500


@dataclass(frozen=True)
class Refusal:
    """An answer other than 200."""

    status: int
    message: str
    type: str = ""
    code: str = ""
    param: str = ""

    def is_called(self, name: str) -> bool:
        """Say whether type or code is `name`; gateways are not of one mind which."""
        return name in (self.type, self.code)

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.message[:MAX_MESSAGE]}"


def parse_error(status: int, text: str) -> Refusal:
    """Return what the body says; any body will do."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return Refusal(status, text.strip() or "no message")
    error = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(error, dict):
        return Refusal(status, str(error))
    message = error.get("message") or error.get("detail") or text
    rest = {key: str(error.get(key) or "") for key in ("type", "code", "param")}
    return Refusal(status, str(message), **rest)


def is_overflow(error: Refusal) -> bool:
    """Say whether the conversation has grown beyond what the model can read."""
    if error.status == TOO_LARGE:
        return True
    known = error.param in OVERFLOW_PARAMS or bool(OVERFLOW.search(error.message))
    return error.status == BAD_REQUEST and known


def is_deadline(error: Refusal) -> bool:
    """Say whether the gate closed because the run's time is over, not for a cancel."""
    return bool(DEADLINE.search(error.message))


def allowed_reply_tokens(error: Refusal) -> int | None:
    """Return the reply size the server would accept, if that was the problem."""
    if error.status != BAD_REQUEST or error.param not in REPLY_PARAMS:
        return None
    found = MAX_MODEL_LEN.search(error.message)
    return max(1, int(found.group(1)) // 2) if found else None


def needs_required(error: Refusal) -> bool:
    """Say whether the server has no tool parser and so refuses `tool_choice: auto`."""
    return error.status == BAD_REQUEST and bool(NEEDS_REQUIRED.search(error.message))
