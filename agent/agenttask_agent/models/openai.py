"""The OpenAI chat API of vLLM, asked without streaming, through the door or over TCP.

Knows which answers mean what: which may be retried, which end the run and for
which reason. What a reply says is read by `parsing`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from agenttask_agent.messages import Message, Reply
from agenttask_agent.models import refusals
from agenttask_agent.models.parsing import parse_reply
from agenttask_agent.models.retry import (
    UNREACHABLE,
    Attempt,
    Retry,
    describe,
    is_retryable,
    retry_after,
)
from agenttask_agent.outcome import ContextOverflow, ModelFailed, ModelRefused, Stop
from agenttask_api.reasons import Reason

CHAT = "/v1/chat/completions"
DEFAULT_REPLY_TOKENS = 4096
CONNECT_SECONDS = 5.0
REPLY_SECONDS = 600.0


@dataclass(frozen=True)
class Sampling:
    """How the model is asked. None = the server's own default."""

    name: str
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass
class OpenAIModel:
    """One model behind one client; `seconds_left` bounds every request."""

    client: httpx.Client
    sampling: Sampling
    retry: Retry = field(default_factory=Retry)
    seconds_left: Callable[[], float] = lambda: REPLY_SECONDS
    answered: bool = False
    """Whether any call ever succeeded: before that, another pod may be worth it."""
    unreachable: bool = False
    """Whether the last call failed without any model having seen it."""
    always_required: bool = False
    """The server was started without a tool parser: only `required` works there."""
    unthinking: bool = False
    """A reply was all thinking and no answer, so no more thinking is asked for."""
    usual: Mapping[str, float | int] = field(default_factory=dict)
    """How this kind of model is sampled where nobody says otherwise; of turns, not of `ask`."""
    reply_tokens: int = DEFAULT_REPLY_TOKENS

    def __post_init__(self) -> None:
        self.reply_tokens = self.sampling.max_tokens or DEFAULT_REPLY_TOKENS

    def reply(
        self,
        conversation: Sequence[Message],
        tools: Sequence[Message],
        *,
        required: bool,
        variation: int = 0,
    ) -> Reply:
        """Return the next reply; raises Stop, or ModelFailed after the last retry.

        A `variation` above 0 gives another seed and a warmer temperature.
        """
        body = self._send(lambda: self._request(conversation, tools, required, variation))
        reply = parse_reply(body, [_name(tool) for tool in tools])
        wasted = reply.cut and reply.reasoning and not (reply.content or reply.calls)
        self.unthinking = self.unthinking or bool(wasted)
        return reply

    def ask(self, request: Message) -> Message:
        """Return the body of one chat completion, with this model's name, bounds and retries.

        For questions that are no turn of a conversation. Raises as `reply` does; a 4xx
        that asking again cannot change is ModelRefused with its status.
        """
        return self._send(lambda: self._defaults() | request)

    def _defaults(self) -> Message:
        body: Message = {"model": self.sampling.name, "max_completion_tokens": self.reply_tokens}
        if self.sampling.temperature is not None:
            body["temperature"] = self.sampling.temperature
        return body

    def context_window(self) -> int | None:
        """Return the server's max_model_len, None when it does not say; never raises."""
        try:
            models = self.client.get("/v1/models", timeout=CONNECT_SECONDS).json()["data"]
            lengths = [m.get("max_model_len") for m in models if m["id"] == self.sampling.name]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
            return None
        found = lengths[0] if lengths else None
        return found if isinstance(found, int) and found > 0 else None

    def _request(
        self,
        conversation: Sequence[Message],
        tools: Sequence[Message],
        required: bool,
        variation: int,
    ) -> Message:
        body = {**self.usual, **self._defaults(), "messages": list(conversation)}
        if tools:
            choice = "required" if required or self.always_required else "auto"
            body |= {"tools": list(tools), "tool_choice": choice}
        if self.unthinking:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        if variation:
            warm = max(float(str(body.get("temperature", 0))), min(1.0, 0.3 + 0.1 * variation))
            body |= {"seed": variation, "temperature": warm}
        return body

    def _send(self, request: Callable[[], Message]) -> Message:
        attempts: list[Attempt] = []
        while len(attempts) < self.retry.tries:
            answer = self._try(request())
            if isinstance(answer, dict):
                self.answered = True
                return answer
            attempt, asked = answer
            attempts.append(attempt)
            if self.seconds_left() <= 0:
                words = f"the run's time was over while the model was asked: {attempt.message}"
                raise Stop(Reason.DEADLINE_EXCEEDED, words)
            if len(attempts) < self.retry.tries:
                self.retry.pause(len(attempts), asked)
        self.unreachable = all(attempt.unreachable for attempt in attempts)
        tries = f"no answer in {len(attempts)} tries"
        raise ModelFailed(f"{tries}; the last: {attempts[-1].message}")

    def _try(self, request: Message) -> Message | tuple[Attempt, float]:
        wait = max(1.0, min(REPLY_SECONDS, self.seconds_left()))
        timeout = httpx.Timeout(wait, connect=CONNECT_SECONDS)
        try:
            response = self.client.post(CHAT, json=request, timeout=timeout)
        except httpx.TransportError as error:
            return describe(error), 0.0
        if response.status_code == httpx.codes.OK:
            body = _object(response)
            return body or (Attempt("the answer is not a JSON object", False), 0.0)
        return self._refused(response)

    def _refused(self, response: httpx.Response) -> tuple[Attempt, float]:
        error = refusals.parse_error(response.status_code, response.text)
        if is_retryable(response.status_code):
            unreachable = response.status_code in UNREACHABLE
            return Attempt(str(error), unreachable), retry_after(response)
        if self._adapted(error):
            return Attempt(str(error), False), 0.0
        raise self._final(error)

    def _adapted(self, error: refusals.Refusal) -> bool:
        """Change how we ask where the server says what it wants; each only once."""
        if refusals.needs_required(error) and not self.always_required:
            self.always_required = True
            return True
        lower = refusals.allowed_reply_tokens(error)
        if lower and lower < self.reply_tokens:
            self.reply_tokens = lower
            return True
        return False

    def _final(self, error: refusals.Refusal) -> Stop:
        if refusals.is_overflow(error):
            return ContextOverflow(str(error))
        if error.is_called("budget_exceeded"):
            return Stop(Reason.BUDGET_EXCEEDED, str(error))
        if error.is_called("gate_closed"):
            late = self.seconds_left() <= 0 or refusals.is_deadline(error)
            return Stop(Reason.DEADLINE_EXCEEDED if late else Reason.CANCELLED, str(error))
        return ModelRefused(error.status, str(error))


def _object(response: httpx.Response) -> Message:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) and "choices" in body else {}


def _name(tool: Message) -> str:
    function = tool["function"]
    assert isinstance(function, dict)
    return str(function["name"])
