"""The spans of whole runs, sent to an OTLP endpoint. Off unless one is configured.

A run's spans are told once, when its end is written, from the times in its status. The spans
of the pod hang under it, since its id is known before it is told. No span holds a prompt.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from agenttask_operator import clock
from agenttask_operator.errors import TracingMissing
from agenttask_operator.observed import Task
from agenttask_operator.runspans import spans_of

EXPORT_SECONDS = 3
"""A collector that is away may hold the end of this process back no longer than this."""
BATCH_SECONDS = 1
"""How long a span waits for others."""
SERVICE = "agenttask-operator"
FLUSH = "otlp-flush"
"""The name of the thread that sends the last spans."""


class Traces(Protocol):
    """Where the ends of runs are told."""

    def ended(self, task: Task) -> None:
        """Tell the run that the task's status has ended."""

    def close(self) -> None:
        """Send what was not sent yet; takes a few seconds at most."""


def open_traces(endpoint: str, now: Callable[[], datetime] = clock.now) -> Traces | None:
    """Return where to tell, None without an endpoint; raises TracingMissing."""
    if not endpoint:
        return None
    try:
        return OtlpTraces(endpoint, now)
    except ImportError as error:
        raise TracingMissing(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: "
            "pip install 'agenttask[otel]', or unset it"
        ) from error


class OtlpTraces:
    """Sends spans in batches from a thread of its own."""

    def __init__(self, endpoint: str, now: Callable[[], datetime]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.trace import StatusCode, set_span_in_context

        class Ids(RandomIdGenerator):
            """Gives the next span the ids that it was told."""

            trace, span = 0, 0

            def generate_trace_id(self) -> int:
                return self.trace

            def generate_span_id(self) -> int:
                return self.span

        self._ids, self._error, self._now = Ids(), StatusCode.ERROR, now
        self._under = set_span_in_context
        resource = Resource({"service.name": SERVICE})
        # Its own shutdown at exit would wait for the collector for half a minute.
        self._provider = TracerProvider(
            id_generator=self._ids, resource=resource, shutdown_on_exit=False
        )
        url = f"{endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS)
        batch = BatchSpanProcessor(exporter, schedule_delay_millis=BATCH_SECONDS * 1000)
        self._provider.add_span_processor(batch)
        self._tracer = self._provider.get_tracer("agenttask")

    def ended(self, task: Task) -> None:
        found = spans_of(task, self._now())
        if not found:
            return
        self._ids.trace, self._ids.span = found.trace, found.span
        root = self._tracer.start_span(
            found.name, start_time=_nanoseconds(found.start), attributes=found.attributes
        )
        for part in found.parts:
            self._ids.span = part.span
            self._tracer.start_span(
                part.name, self._under(root), start_time=_nanoseconds(part.start)
            ).end(_nanoseconds(part.end))
        if found.error:
            root.set_status(self._error, found.error)
        root.end(_nanoseconds(found.end))

    def close(self) -> None:
        # The SDK takes a limit of time here and does not keep it.
        sending = threading.Thread(target=self._provider.force_flush, name=FLUSH, daemon=True)
        sending.start()
        sending.join(EXPORT_SECONDS)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)


def both(first: Callable[[Task], None], traces: Traces | None) -> Callable[[Task], None]:
    """Return what tells the end of a run to the first one, and to the traces if there are any."""
    if not traces:
        return first

    def tell(task: Task) -> None:
        first(task)
        traces.ended(task)

    return tell
