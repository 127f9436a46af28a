"""Everything that runs, wired once: informers, workers, resync, outbox, election.

kopf brings events of classes; tasks, Jobs and pods come from informers of our own. Both
only change the cache and put keys on the queue. Workers start when all is known, since an
empty cache looks just like a cluster whose Jobs are lost, and when this process leads:
until then it is a standby with everything at hand.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine

from prometheus_client import generate_latest

from agenttask_api.cancellation import end
from agenttask_operator import clock
from agenttask_operator.announcer import Announcer
from agenttask_operator.bridge import Bridge
from agenttask_operator.cache import Cache
from agenttask_operator.classkeeper import ClassKeeper
from agenttask_operator.classstatus import NatsState
from agenttask_operator.cluster import Cluster
from agenttask_operator.commandfeed import CommandFeed
from agenttask_operator.errors import ClusterError, Unavailable
from agenttask_operator.health import USUAL, Bounds, Vitals, ailment, unreadiness
from agenttask_operator.informer import Informer
from agenttask_operator.kinds import JOBS, PODS, ROSTER, UNFINISHED
from agenttask_operator.leader import Lock, lead
from agenttask_operator.ledger import Ledger
from agenttask_operator.listeners import job_listener, pod_listener
from agenttask_operator.metrics import Gauges, Metrics
from agenttask_operator.news import News
from agenttask_operator.observed import Key, Task
from agenttask_operator.queue import WorkQueue, call_later
from agenttask_operator.reconcile import Reconciler
from agenttask_operator.roster import Roster
from agenttask_operator.settings import Settings
from agenttask_operator.tracing import both, open_traces
from agenttask_operator.turnstile import Turnstile
from agenttask_operator.wanted import defaults_of, limits_of, open_outbox, wall_of
from agenttask_operator.web import WebServer

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
UNAVAILABLE_SECONDS = 15.0
"""The API server is everybody's: its absence is not the task's fault. How often all are tried
again is the throttle's business."""
LAG_SECONDS = 1.0
"""How often the event loop's lateness is measured."""


class Runtime:
    """One operator process."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        on_loss: Callable[[], None],
        identity: str,
        bounds: Bounds = USUAL,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._on_loss = on_loss
        self.cache = Cache()
        self.queue = WorkQueue()
        self._outbox = open_outbox(settings)
        turnstile = Turnstile(self.cache, limits_of(settings), self.queue.add, call_later)
        self._reconciler = self._make_reconciler(turnstile)
        self._bridge = self._make_bridge()
        self._keeper = self._make_keeper(turnstile)
        self.news = News(cluster, self.cache, self.queue)
        self.roster = Roster(self.cache, self.queue, self._reconciler, bool(settings.nats_url))
        self._informers = self._make_informers()
        lease = settings.lease_namespace
        self._lock = Lock(cluster, lease, identity) if lease else None
        self._running: list[asyncio.Task[None]] = []
        self._working = False
        self._watching: Callable[[], bool] = lambda: True
        self._lag = 0.0
        self._metrics = Metrics()
        self._gauges = Gauges(self.cache, self.queue, self._reconciler.memories)
        self._web = WebServer(
            lambda: ailment(self.vitals(), bounds),
            lambda: unreadiness(self.vitals(), bounds),
            self._scrape,
        )
        self._traces = open_traces(settings.otlp_endpoint)
        self._announcer = Announcer(cluster.create_event, self.leads, lambda: len(self.queue) > 0)
        self._connect()

    def _make_reconciler(self, turnstile: Turnstile) -> Reconciler:
        outbox, defaults = self._outbox, defaults_of(self._settings)
        ledger = Ledger(outbox) if outbox else None
        return Reconciler(
            self._cluster, self.cache, self.queue, outbox, defaults, clock.now, turnstile, ledger
        )

    def _make_keeper(self, turnstile: Turnstile) -> ClassKeeper:
        wall = wall_of(self._settings)
        keeper = ClassKeeper(self._cluster, self.cache, turnstile, self.leads, clock.now, wall)
        keeper.ask_nats = self._nats
        return keeper

    def _make_informers(self) -> list[Informer]:
        return [
            Informer(self._cluster, kind, scope, listener)
            for scope in self._settings.namespaces or ("",)
            for kind, listener in (
                (UNFINISHED, self.roster.unfinished(scope)),
                (ROSTER, self.roster.lines(scope)),
                (JOBS, job_listener(self.cache, self.queue, scope)),
                (PODS, pod_listener(self.cache, self.queue, scope)),
            )
        ]

    def _connect(self) -> None:
        """Let the parts know each other, once all are there."""
        self._metrics.registry.register(self._gauges)
        self._reconciler.actor.may_act = self.leads
        self._reconciler.actor.announce = self._announcer.take
        self._reconciler.actor.on_end = both(self._ended, self._traces)
        self._cluster.connection.on_reply = self._metrics.requested
        if self._bridge:
            self._bridge.on_settled = self._metrics.commanded

    def _make_bridge(self) -> Bridge | None:
        """Return what takes commands by NATS; None without a NATS or a tenant."""
        settings, outbox = self._settings, self._outbox
        if not outbox or not settings.tenants.by_name:
            return None
        feed, ours = CommandFeed(outbox), settings.cluster_id
        tenants = settings.tenants
        return Bridge(feed, self._cluster, outbox, tenants, ours, clock.now, self.leads)

    async def start(self, watching: Callable[[], bool]) -> None:
        """Start everything in the background; raises OSError when the port is taken.

        `watching` says whether news of classes can still come.
        """
        self._watching = watching
        if self._settings.http_address:
            host, _, port = self._settings.http_address.rpartition(":")
            await self._web.start(host, int(port))
        if self._outbox:
            self._outbox.on_ready = self._reconciler.retry_publications
            self._outbox.start()
        for number, informer in enumerate(self._informers):
            self._spawn(informer.run(), f"informer-{number}")
        self._spawn(self._measure_lag(), "lag")
        if self._settings.model_probe_seconds:
            seconds = self._settings.model_probe_seconds
            self._spawn(self._keeper.probe_for_ever(seconds), "probe")
        self._spawn(self._lead(), "election")

    async def stop(self) -> None:
        """Stop everything; work that was begun is safe to begin again."""
        await end(*self._running)
        await self._announcer.flush()
        if self._lock:
            await self._lock.release()
        if self._outbox:
            await self._outbox.close()
        if self._traces:
            await asyncio.to_thread(self._traces.close)
        await self._web.stop()
        await self._cluster.close()

    def _ended(self, task: Task) -> None:
        self._metrics.ended(task)
        self._reconciler.wake_waiters(task.key)

    def _nats(self) -> NatsState | None:
        """Return how NATS is; None where there is none."""
        outbox = self._outbox
        return NatsState(outbox.connected, dict(outbox.findings)) if outbox else None

    def leads(self) -> bool:
        """Say whether this process may act now."""
        return self._lock.held() if self._lock else True

    def vitals(self) -> Vitals:
        """Return what can be seen of this process now."""
        now = asyncio.get_running_loop().time()
        return Vitals(
            dead=self._dead(),
            tried={i.name: now - i.last_tried for i in self._informers if i.last_tried},
            heard={i.name: now - i.last_heard if i.last_heard else None for i in self._informers},
            queue_age=self.queue.age(),
            quiet=self.queue.quiet(),
            lag=self._lag,
            working=self._working,
            replaced=self._working and not self.leads(),
        )

    def _dead(self) -> tuple[str, ...]:
        dead = [t.get_name() for t in self._running if t.done()]
        return (*dead,) if self._watching() else (*dead, "kopf")

    def _scrape(self) -> bytes:
        self._gauges.vitals = self.vitals()
        self._gauges.nats = self._nats()
        self._gauges.events = len(self._announcer), self._announcer.dropped
        self._gauges.leading = self._working and self.leads()
        self._gauges.now = clock.now()
        return generate_latest(self._metrics.registry)

    # Background.

    def _spawn(self, coroutine: Coroutine[None, None, None], name: str) -> None:
        self._running.append(asyncio.create_task(coroutine, name=name))

    async def _measure_lag(self) -> None:
        while True:
            due = asyncio.get_running_loop().time() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lag = asyncio.get_running_loop().time() - due

    async def _lead(self) -> None:
        if not self._lock:
            await self._begin()
            await asyncio.Event().wait()
        else:
            await lead(self._lock, self._begin)
            log.error("this process leads no longer; it ends")
            self._on_loss()

    async def _begin(self) -> None:
        """Start the workers once everything is known."""
        await asyncio.gather(*(i.synced.wait() for i in self._informers))
        await self._first_lists()
        for number in range(self._settings.workers):
            self._spawn(self._work(), f"worker-{number}")
        self._spawn(self._resync_for_ever(), "resync")
        self._spawn(self._announcer.run(), "events")
        self._spawn(self._reconciler.send_orphans(), "orphans")
        self._spawn(self._keeper.write_for_ever(), "class-status")
        if self._bridge:
            self._spawn(self._bridge.run(), "commands")
        self._working = True
        log.info("synced: %d tasks wait", len(self.queue))

    async def _first_lists(self) -> None:
        """What happened while nobody led must be known too."""
        while True:
            try:
                await self.news.list_classes()
            except ClusterError as error:
                log.warning("classes cannot be listed: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._work_on(key)
            finally:
                self.queue.done(key)

    async def _work_on(self, key: Key) -> None:
        extra = {"namespace": key.namespace, "task": key.name}
        begun, outcome = time.monotonic(), "ok"
        try:
            await self._reconciler.reconcile(key)
        except Unavailable as error:
            outcome = "unavailable"
            delay = self.queue.add_failed(key, error.retry_after, UNAVAILABLE_SECONDS)
            log.warning(
                "the API server is unavailable, again in %.1f s: %s", delay, error, extra=extra
            )
        except ClusterError as error:
            outcome, delay = "refused", self.queue.add_refused(key)
            # Its words may quote what was sent, prompt included.
            log.error("again in %.1f s: %s", delay, type(error).__name__, extra=extra)
        except Exception:
            outcome, delay = "fault", self.queue.add_failed(key, RETRY_SECONDS)
            log.exception("a fault of ours, again in %.1f s", delay, extra=extra)
        else:
            self.queue.forgive(key)
        self._metrics.reconciled(outcome, time.monotonic() - begun)

    # Repairing what watches lost.

    async def _resync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            try:
                await self._resync()
            except ClusterError as error:
                log.warning("resync: %s", error)
            except Exception:
                log.exception("resync failed")

    async def _resync(self) -> None:
        for informer in self._informers:
            await informer.resync()
        await self.news.list_classes()
