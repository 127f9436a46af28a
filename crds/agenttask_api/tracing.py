"""One trace for a task, a span for each run and each pod: ids that all halves know without asking.

Pure. They are made from the task and the run, so whoever comes late, or comes back after a
crash, names the same trace.
"""

import hashlib

from agenttask_api.events import trace_id

ENV_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own name; unset = nothing is traced."""


def run_span_id(uid: str, run_key: str) -> str:
    """Return the id of the span of a whole run, 16 hexadecimal digits."""
    return _span_id(uid, run_key)


def part_span_id(uid: str, run_key: str, part: str) -> str:
    """Return the id of the span of one part of a run that comes once: a name, or a pod's uid."""
    return _span_id(uid, run_key, part)


def traceparent(uid: str, run_key: str) -> str:
    """Return the W3C header under which all spans of a run hang."""
    return f"00-{trace_id(uid)}-{run_span_id(uid, run_key)}-01"


def _span_id(*whose: str) -> str:
    return hashlib.sha256("/".join(whose).encode()).hexdigest()[:16]
