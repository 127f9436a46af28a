"""OpenTelemetry's own parts, put together. Imported only where spans are sent."""

import threading
import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

FLUSH = "otlp-flush"
"""The name of the thread that sends the last spans."""


def exporter(endpoint: str, seconds: float) -> SpanExporter:
    """Return what sends spans to a collector, by OTLP over HTTP; a try takes `seconds` at most."""
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=seconds)


class Pipe:
    """Sends spans in batches from a thread of its own; the first one gets the id `first`."""

    def __init__(
        self, exporter: SpanExporter, resource: Mapping[str, str], first: int, batch: float
    ) -> None:
        self._exporter = _Watched(exporter)
        # Its own shutdown at exit would wait for the collector for half a minute.
        self._provider = TracerProvider(
            id_generator=_Ids(first), resource=Resource(dict(resource)), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(self._exporter, schedule_delay_millis=batch * 1000)
        )
        self.tracer = self._provider.get_tracer("agenttask")

    def flush(self, seconds: float) -> None:
        """Send what waits, if the collector took what came before; takes `seconds` at most."""
        # The SDK takes a limit of time here and does not keep it.
        sending = threading.Thread(target=self._provider.force_flush, name=FLUSH, daemon=True)
        sending.start()
        ends = time.monotonic() + seconds
        while sending.is_alive() and not self._exporter.away and time.monotonic() < ends:
            sending.join(0.05)


class _Watched(SpanExporter):
    """Remembers whether the collector took the last batch."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        self.away = result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class _Ids(RandomIdGenerator):
    """Random ids, but for the first span's."""

    def __init__(self, first: int) -> None:
        self._first = first

    def generate_span_id(self) -> int:
        first, self._first = self._first, 0
        return first or super().generate_span_id()
