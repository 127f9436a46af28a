"""The spans of one attempt, sent to an OTLP endpoint. Off unless one is configured.

They hang under the span of the run, whose id is in the task document. Names, numbers and
outcomes only: no prompt, no reply, no path, no URL.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agenttask_api import names
from agenttask_api.taskdocument import TaskDocument
from agenttask_api.tracing import ENV_ENDPOINT, part_span_id
from agenttask_courier.journal import log
from agenttask_courier.settings import BadSettings, read_document

if TYPE_CHECKING:
    from opentelemetry import trace

ATTEMPT = "agenttask.attempt"
EXPORT_SECONDS = 3
"""A collector that is away may hold the end of a pod back no longer than this."""
BATCH_SECONDS = 1
"""How long a span waits for others: what is left at the end is little, and sent at once."""

Value = str | int


@dataclass(frozen=True)
class Times:
    """From when to when, in nanoseconds since 1970."""

    began: int
    ended: int


class Span:
    """Something that takes time; this one is told nobody."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Say more about it."""

    def headers(self) -> dict[str, str]:
        """Return what a request is sent with, for spans of who gets it to hang under this one."""
        return {}

    def end(self, error: str = "") -> None:
        """Say that it is over, and the one word for what went wrong, if anything did."""


class Spans:
    """Where spans are told; here nowhere."""

    def begin(self, _name: str, _attributes: Mapping[str, Value] | None = None) -> Span:
        """Return a span that begins now, under the one of the attempt."""
        return Span()

    def tell(
        self, _name: str, _times: Times, _attributes: Mapping[str, Value], _error: str = ""
    ) -> None:
        """Tell a span that is over already; its times are cut to those of the attempt so far."""

    def close(self, error: str = "") -> None:
        """End the attempt's own span and send all; takes a few seconds at most."""


NOWHERE = Spans()


def open_spans(environment: Mapping[str, str], task_file: Path, began_ns: int) -> Spans:
    """Return where this process tells its spans, all of them under one of the whole attempt.

    `began_ns` is when the attempt began, in nanoseconds since 1970.
    """
    endpoint = environment.get(ENV_ENDPOINT, "")
    if not endpoint:
        return NOWHERE
    try:
        document = read_document(task_file)
        traced = bool(document.traceparent)
        return OtlpSpans(endpoint, document, environment, began_ns) if traced else NOWHERE
    except BadSettings:
        # Whoever needs the document says what is wrong with it.
        return NOWHERE
    except ImportError:
        log("tracing.missing", message="OpenTelemetry is not installed in this image")
        return NOWHERE


class OtlpSpans(Spans):
    """Sends spans in batches from a thread of its own."""

    def __init__(
        self,
        endpoint: str,
        document: TaskDocument,
        environment: Mapping[str, str],
        began_ns: int,
    ) -> None:
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        from agenttask_courier.otlp import Pipe, exporter

        identity = document.identity
        pod = environment.get(names.ENV_POD_UID, "")
        resource = {
            "service.name": "agenttask-courier",
            "k8s.namespace.name": identity.namespace,
            "k8s.pod.name": environment.get(names.ENV_POD_NAME, ""),
        }
        own = int(part_span_id(identity.uid, identity.run_key, pod), 16)
        self._began = began_ns
        self._pipe = Pipe(exporter(endpoint, EXPORT_SECONDS), resource, own, BATCH_SECONDS)
        run = TraceContextTextMapPropagator().extract({"traceparent": document.traceparent})
        about = {"agenttask.run_key": identity.run_key, "gen_ai.agent.name": identity.name}
        self._own = self._pipe.tracer.start_span(
            ATTEMPT, run, attributes=about, start_time=began_ns
        )
        self._context = set_span_in_context(self._own, run)

    def begin(self, name: str, attributes: Mapping[str, Value] | None = None) -> Span:
        return OtlpSpan(self._pipe.tracer.start_span(name, self._context, attributes=attributes))

    def tell(
        self, name: str, times: Times, attributes: Mapping[str, Value], error: str = ""
    ) -> None:
        began = min(max(times.began, self._began), time.time_ns())
        ended = min(max(times.ended, began), time.time_ns())
        span = self._pipe.tracer.start_span(
            name, self._context, attributes=dict(attributes), start_time=began
        )
        OtlpSpan(span).end(error, ended)

    def close(self, error: str = "") -> None:
        OtlpSpan(self._own).end(error)
        self._pipe.flush(EXPORT_SECONDS)


class OtlpSpan(Span):
    """A span that is sent once it has ended."""

    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    def set(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(dict(attributes))

    def headers(self) -> dict[str, str]:
        about = self._span.get_span_context()
        return {"traceparent": f"00-{about.trace_id:032x}-{about.span_id:016x}-01"}

    def end(self, error: str = "", at_ns: int | None = None) -> None:
        if error:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end(at_ns)
