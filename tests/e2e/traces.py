"""What a collector was told, as a tree."""

from collections.abc import Iterator
from typing import Any

from tests.servers.otlp import attributes

QUIET = "agenttask.run_key"
"""Not worth a line's width."""


def of(spans: list[Any], trace: str) -> list[Any]:
    """Return the spans of the trace with that id, in hexadecimal."""
    return [s for s in spans if s.trace_id.hex() == trace]


def parent_of(spans: list[Any], span: Any) -> Any | None:
    """Return the span under which one hangs; None for one that hangs under none of them."""
    return next((s for s in spans if s.span_id == span.parent_span_id), None)


def root_of(spans: list[Any]) -> Any:
    """Return the one root of a whole trace: each other span hangs under one, and lies within it."""
    ids = [s.span_id for s in spans]
    assert len(ids) == len(set(ids)), "a span was told twice"
    (root,) = (s for s in spans if not s.parent_span_id)
    for span in (s for s in spans if s is not root):
        above = parent_of(spans, span)
        assert above is not None, f"{span.name} hangs under nothing"
        times = (above.start_time_unix_nano, span.start_time_unix_nano)
        within = times[0] <= times[1] <= span.end_time_unix_nano <= above.end_time_unix_nano
        assert within, f"{span.name} is not within {above.name}"
    return root


def below(spans: list[Any], name: str) -> set[str]:
    """Return the names of the spans that hang under one of that name."""
    above = {s.span_id for s in spans if s.name == name}
    return {s.name for s in spans if s.parent_span_id in above}


def tree(spans: list[Any]) -> str:
    """Return the spans as text, one a line: name, begin and length in seconds, attributes."""
    roots = [s for s in spans if not parent_of(spans, s)]
    first = min(s.start_time_unix_nano for s in spans)
    return "\n".join(line for root in roots for line in _lines(spans, root, first, 0))


def _lines(spans: list[Any], span: Any, first: int, depth: int) -> Iterator[str]:
    since = (span.start_time_unix_nano - first) / 1e9
    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    said = " ".join(f"{k}={v}" for k, v in sorted(attributes(span).items()) if k != QUIET)
    yield f"{'  ' * depth}{span.name}  +{since:.2f} {seconds:.2f}  {said}".rstrip()
    below = [s for s in spans if s.parent_span_id == span.span_id]
    for child in sorted(below, key=lambda s: int(s.start_time_unix_nano)):
        yield from _lines(spans, child, first, depth + 1)
