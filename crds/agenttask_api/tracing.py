"""One trace for a task, one span for each of its runs: ids that every half knows without asking.

Pure. They are made from the task and the run, so whoever comes late, or comes back after a
crash, names the same trace.
"""

import hashlib

from agenttask_api.events import trace_id

ENV_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own name; unset = nothing is traced."""


def run_span_id(uid: str, run_key: str) -> str:
    """Return the id of the span of a whole run, 16 hexadecimal digits."""
    return hashlib.sha256(f"{uid}/{run_key}".encode()).hexdigest()[:16]


def traceparent(uid: str, run_key: str) -> str:
    """Return the W3C header under which all spans of a run hang."""
    return f"00-{trace_id(uid)}-{run_span_id(uid, run_key)}-01"
