"""The span of one model call, in the words of OpenTelemetry's conventions for generative AI."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from agenttask_courier.tracing import Spans, Value

Tell = Callable[[int, int, int], None]
"""Takes status, prompt tokens and completion tokens of the answer."""


@contextmanager
def told_call(spans: Spans, request: Mapping[str, object]) -> Iterator[Tell]:
    """Tell a chat request while the block runs; it holds numbers and the model's name only."""
    model = str(request.get("model", ""))
    span = spans.begin(f"chat {model}", _asked(request, model))
    failure = "interrupted"

    def tell(status: int, input_tokens: int, output_tokens: int) -> None:
        nonlocal failure
        failure = "" if status == 200 else str(status)
        span.set(
            {
                "http.response.status_code": status,
                "gen_ai.usage.input_tokens": input_tokens,
                "gen_ai.usage.output_tokens": output_tokens,
            }
        )

    try:
        yield tell
    finally:
        span.end(failure)


def _asked(request: Mapping[str, object], model: str) -> dict[str, Value]:
    asked: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": model,
    }
    length = request.get("max_tokens") or request.get("max_completion_tokens")
    return asked | ({"gen_ai.request.max_tokens": length} if isinstance(length, int) else {})
