"""The span of one model call, in the words of OpenTelemetry's conventions for generative AI."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from agenttask_courier.tracing import Span, Spans, Value


@dataclass
class ModelCall:
    """One call under way."""

    span: Span
    failure: str = "interrupted"

    def answered(self, status: int, input_tokens: int, output_tokens: int) -> None:
        """Say what came of it."""
        self.failure = "" if status == 200 else str(status)
        self.span.set(
            {
                "http.response.status_code": status,
                "gen_ai.usage.input_tokens": input_tokens,
                "gen_ai.usage.output_tokens": output_tokens,
            }
        )


@contextmanager
def told_call(spans: Spans, request: Mapping[str, object]) -> Iterator[ModelCall]:
    """Tell a chat request while the block runs; it holds numbers and the model's name only."""
    model = str(request.get("model", ""))
    call = ModelCall(spans.begin(f"chat {model}", _asked(request, model)))
    try:
        yield call
    finally:
        call.span.end(call.failure)


def _asked(request: Mapping[str, object], model: str) -> dict[str, Value]:
    asked: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": model,
    }
    length = request.get("max_tokens") or request.get("max_completion_tokens")
    return asked | ({"gen_ai.request.max_tokens": length} if isinstance(length, int) else {})
