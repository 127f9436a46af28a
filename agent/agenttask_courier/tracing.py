"""The spans of one attempt, sent to an OTLP endpoint. Off unless one is configured.

They hang under the span of the run, whose id is in the task document. Names, numbers and
outcomes only: no prompt, no reply, no path, no URL.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agenttask_api import names
from agenttask_api.taskdocument import TaskDocument
from agenttask_api.tracing import ENV_ENDPOINT
from agenttask_courier.journal import log
from agenttask_courier.settings import BadSettings, read_document

if TYPE_CHECKING:
    from opentelemetry import trace

EXPORT_SECONDS = 3
"""A collector that is away may hold the end of a pod back no longer than this."""

Value = str | int


class Span:
    """Something that takes time; this one is told nobody."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Say more about it."""

    def end(self, error: str = "") -> None:
        """Say that it is over, and the one word for what went wrong, if anything did."""


class Spans:
    """Where spans are told; here nowhere."""

    def begin(self, _name: str, _attributes: Mapping[str, Value] | None = None) -> Span:
        """Return a span that begins now, under the one of the attempt."""
        return Span()

    def close(self, error: str = "") -> None:
        """End the attempt's own span and send all; takes a few seconds at most."""


NOWHERE = Spans()


def open_spans(environment: Mapping[str, str], task_file: Path, name: str) -> Spans:
    """Return where this process tells its spans, all of them under one of that name."""
    endpoint = environment.get(ENV_ENDPOINT, "")
    if not endpoint:
        return NOWHERE
    try:
        document = read_document(task_file)
        return OtlpSpans(endpoint, document, environment, name) if document.traceparent else NOWHERE
    except BadSettings:
        # Whoever needs the document says what is wrong with it.
        return NOWHERE
    except ImportError:
        log("tracing.missing", message="OpenTelemetry is not installed in this image")
        return NOWHERE


class OtlpSpans(Spans):
    """Sends spans in batches from a thread of its own."""

    def __init__(
        self, endpoint: str, document: TaskDocument, environment: Mapping[str, str], name: str
    ) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        identity = document.identity
        resource = {
            "service.name": "agenttask-courier",
            "k8s.namespace.name": identity.namespace,
            "k8s.pod.name": environment.get(names.ENV_POD_NAME, ""),
        }
        self._provider = TracerProvider(resource=Resource(resource))
        url = f"{endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("agenttask")
        run = TraceContextTextMapPropagator().extract({"traceparent": document.traceparent})
        about = {"agenttask.run_key": identity.run_key, "gen_ai.agent.name": identity.name}
        self._own = self._tracer.start_span(name, run, attributes=about)
        self._context = set_span_in_context(self._own, run)

    def begin(self, name: str, attributes: Mapping[str, Value] | None = None) -> Span:
        return OtlpSpan(self._tracer.start_span(name, self._context, attributes=attributes))

    def close(self, error: str = "") -> None:
        OtlpSpan(self._own).end(error)
        self._provider.force_flush(EXPORT_SECONDS * 1000)


class OtlpSpan(Span):
    """A span that is sent once it has ended."""

    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    def set(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(dict(attributes))

    def end(self, error: str = "") -> None:
        if error:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
