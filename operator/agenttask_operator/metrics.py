"""What Prometheus may ask: counted while we work, or read from the process when asked.

Labels have few values: phases, roles, classes, reasons, verbs; never a task or a namespace.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from agenttask_operator.cache import Cache
from agenttask_operator.classstatus import NatsState
from agenttask_operator.clock import parse_time
from agenttask_operator.health import Vitals
from agenttask_operator.memory import Memories
from agenttask_operator.observed import Task
from agenttask_operator.queue import WorkQueue

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
PHASE_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Histogram(
            "agenttask_reconcile_seconds",
            "Duration of one reconcile.",
            ["outcome"],
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._requests = Histogram(
            "agenttask_api_request_seconds",
            "Time until the API server's answer; code 0 = there was none.",
            ["method", "code"],
            buckets=REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._phases = Histogram(
            "agenttask_phase_seconds",
            "How long finished runs were pending, starting and running.",
            ["phase"],
            buckets=PHASE_BUCKETS,
            registry=self.registry,
        )
        self._ended = PrometheusCounter(
            "agenttask_runs_ended",
            "Runs whose end was written.",
            ["phase", "reason", "role", "class"],
            registry=self.registry,
        )

        self._commands = PrometheusCounter(
            "agenttask_commands",
            "Commands by NATS that were settled; result is `done` or why not.",
            ["command", "result"],
            registry=self.registry,
        )

    def commanded(self, command: str, result: str) -> None:
        """Count a settled command."""
        self._commands.labels(command, result).inc()

    def reconciled(self, outcome: str, seconds: float) -> None:
        """Count a reconcile: `ok`, `unavailable`, `refused` or `fault`."""
        self._reconciles.labels(outcome).observe(seconds)

    def requested(self, method: str, code: int, seconds: float) -> None:
        """Count a request to the API server."""
        self._requests.labels(method, str(code)).observe(seconds)

    def ended(self, task: Task) -> None:
        """Count the end of a run."""
        status = task.status
        self._ended.labels(status.phase.value, status.reason, *_kind(task)).inc()
        for phase, seconds in _durations(task):
            self._phases.labels(phase).observe(seconds)


class Gauges(Collector):
    """What is read from the process at the moment it is asked."""

    def __init__(self, cache: Cache, queue: WorkQueue, memories: Memories) -> None:
        self._cache = cache
        self._queue = queue
        self._memories = memories
        self.vitals = Vitals()
        """Of this moment: whoever serves the metrics refreshes it first."""
        self.leading = False
        self.nats: NatsState | None = None
        self.now = datetime.min
        self.events = (0, 0)
        """Events that wait to be created, and how many found no room."""

    def collect(self) -> Iterator[Metric]:
        """Yield all gauges."""
        yield self._tasks()
        yield _single("agenttask_queue_depth", "Tasks that are due.", len(self._queue))
        yield _single(
            "agenttask_queue_age_seconds",
            "How long the oldest due task has waited.",
            self._queue.age(),
        )
        yield self._watches()
        yield from self._outbox()
        yield from self._nats()
        waiting, dropped = self.events
        yield _single("agenttask_events_waiting", "Events that are not created yet.", waiting)
        yield CounterMetricFamily(
            "agenttask_events_dropped", "Events that found no room.", value=dropped
        )
        yield _single("agenttask_leader", "1 where this process leads.", self.leading)
        yield _single(
            "agenttask_event_loop_lag_seconds",
            "How late the event loop last came to a timer.",
            self.vitals.lag,
        )

    def _tasks(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "agenttask_tasks", "Unfinished tasks.", labels=["phase", "role", "class"]
        )
        counts = Counter((t.status.phase.value, *_kind(t)) for t in self._cache.tasks.values())
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        return family

    def _watches(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "agenttask_watch_age_seconds",
            "Since the API server was last heard of on a watch.",
            labels=["watch"],
        )
        for name, age in self.vitals.heard.items():
            if age is not None:
                family.add_metric([name], age)
        return family

    def _nats(self) -> Iterator[GaugeMetricFamily]:
        """Nothing where there is no NATS."""
        if not self.nats:
            return
        yield _single("agenttask_nats_connected", "1 where NATS is connected.", self.nats.connected)
        family = GaugeMetricFamily(
            "agenttask_nats_stream_differs",
            "Settings of a stream that are not as documented.",
            labels=["stream"],
        )
        for name, wrong in sorted(self.nats.findings.items()):
            family.add_metric([name], len(wrong))
        yield family

    def _outbox(self) -> Iterator[GaugeMetricFamily]:
        since = [m.unpublished_since for m in self._memories.values() if m.unpublished_since]
        pending = len(since) + len(self._memories.orphans)
        lag = (self.now - min(since)).total_seconds() if since else 0.0
        yield _single("agenttask_outbox_pending", "Ends of runs that NATS lacks.", pending)
        yield _single("agenttask_outbox_lag_seconds", "Since the oldest of them.", max(0.0, lag))


def _single(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)


def _kind(task: Task) -> tuple[str, str]:
    return (task.spec.role.value, task.spec.class_name) if task.spec else ("", "")


def _durations(task: Task) -> Iterable[tuple[str, float]]:
    run = task.status.run
    if not run:
        return
    moments = (
        ("Pending", task.created, parse_time(run.accepted_time)),
        ("Starting", parse_time(run.accepted_time), parse_time(run.start_time)),
        ("Running", parse_time(run.start_time), parse_time(run.completion_time)),
    )
    for phase, begin, end in moments:
        first = phase != "Pending" or run.number == 1
        if begin and end and first:
            yield phase, max(0.0, (end - begin).total_seconds())
