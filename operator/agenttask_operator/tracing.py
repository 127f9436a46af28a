"""The spans of whole runs, sent to an OTLP endpoint. Off unless one is configured.

A run's span is told once, when its end is written, from the times in its status. The spans
of the pod hang under it, since its id is known before it is told. No span holds a prompt.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from agenttask_api.events import trace_id
from agenttask_api.status import Phase, Usage
from agenttask_api.tracing import run_span_id
from agenttask_operator.clock import parse_time
from agenttask_operator.errors import TracingMissing
from agenttask_operator.observed import Task

EXPORT_SECONDS = 5
SERVICE = "agenttask-operator"


class Traces(Protocol):
    """Where the ends of runs are told."""

    def ended(self, task: Task) -> None:
        """Tell the run that the task's status has ended."""

    def close(self) -> None:
        """Send what was not sent yet; takes a few seconds at most."""


def open_traces(endpoint: str) -> Traces | None:
    """Return where to tell, None without an endpoint; raises TracingMissing."""
    if not endpoint:
        return None
    try:
        return OtlpTraces(endpoint)
    except ImportError as error:
        raise TracingMissing(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed: "
            "pip install 'agenttask[otel]', or unset it"
        ) from error


class OtlpTraces:
    """Sends spans in batches from a thread of its own."""

    def __init__(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        from opentelemetry.trace import StatusCode

        class Ids(RandomIdGenerator):
            """Gives the next span the ids that it was told."""

            trace, span = 0, 0

            def generate_trace_id(self) -> int:
                return self.trace

            def generate_span_id(self) -> int:
                return self.span

        self._ids, self._error = Ids(), StatusCode.ERROR
        resource = Resource({"service.name": SERVICE})
        self._provider = TracerProvider(id_generator=self._ids, resource=resource)
        url = f"{endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("agenttask")

    def ended(self, task: Task) -> None:
        run, status = task.status.run, task.status
        end = parse_time(run.completion_time) if run else None
        if not run or not end:
            return
        start = (task.created if run.number == 1 else None) or parse_time(run.accepted_time) or end
        self._ids.trace = int(trace_id(task.uid), 16)
        self._ids.span = int(run_span_id(task.uid, run.key), 16)
        span = self._tracer.start_span(
            "agenttask.run", start_time=_nanoseconds(start), attributes=_attributes(task)
        )
        if status.phase is not Phase.SUCCEEDED:
            span.set_status(self._error, status.reason)
        span.end(_nanoseconds(max(start, end)))

    def close(self) -> None:
        self._provider.force_flush(EXPORT_SECONDS * 1000)


def _attributes(task: Task) -> dict[str, str | int]:
    status, run = task.status, task.status.run
    usage = status.usage or Usage()
    assert run is not None
    tokens = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
    }
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": task.key.name,
        "k8s.namespace.name": task.key.namespace,
        "agenttask.run_key": run.key,
        "agenttask.phase": status.phase.value,
        "agenttask.reason": status.reason,
        "agenttask.verdict": status.verdict.value,
        **tokens,
    }


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
