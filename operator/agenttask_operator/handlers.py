"""kopf's shell: events in, nothing else.

Only `on.event` is used, so kopf writes nothing to a class: no finalizer, no annotation,
no progress. Its handler hands news to the loop that works; what follows from them is
decided there, and repaired by a resync should kopf lose an event. Tasks are watched by
informers of our own, since kopf can watch neither by field nor in part.

kopf runs in a thread and loop of its own: it ends on a 403, on an error inside a watch and
when it runs out of retries, and on its way out it cancels whatever else its loop runs.
There it may end as often as it likes. It is started again, and the work goes on meanwhile.
"""

import asyncio
import itertools
import logging
import os
import random
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import kopf

from agenttask_api.schema import GROUP, VERSION
from agenttask_operator.cluster import Cluster
from agenttask_operator.runtime import Runtime
from agenttask_operator.settings import Settings

log = logging.getLogger(__name__)

RESTART_SECONDS = 5.0
STOP_SECONDS = 10.0
"""How long kopf may take to end; its thread ends with the process anyway."""

Object = dict[str, Any]
Take = Callable[[str | None, Object], None]
"""Takes an event: its type (None while kopf lists) and its object."""


class Backoffs:
    """Seconds between tries, without an end."""

    def __iter__(self) -> Iterator[float]:
        for attempt in itertools.count():
            yield min(2.0 ** min(attempt, 5), 30.0) * (0.5 + random.random() / 2)


class Shell:
    """kopf in a thread, for ever."""

    def __init__(self, namespaces: tuple[str, ...], on_class: Take) -> None:
        self._namespaces = namespaces
        self._memo = kopf.Memo(on_class=on_class)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_for_ever, name="kopf", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ask kopf to end and wait a moment for it."""
        self._stopping.set()
        if self._loop and self._stop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether the thread still does its work."""
        return self._thread.is_alive()

    def _run_for_ever(self) -> None:
        for delay in Backoffs():
            pause = min(delay, RESTART_SECONDS)
            try:
                asyncio.run(self._run())
            except (Exception, asyncio.CancelledError) as error:
                log.warning("kopf ended with %s; again in %.1f s", type(error).__name__, pause)
            if self._stopping.wait(pause):
                return

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if self._stopping.is_set():
            return
        settings = kopf.OperatorSettings()
        tune(settings)
        await kopf.operator(
            settings=settings,
            memo=self._memo,
            stop_flag=self._stop,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            standalone=True,
        )


def run(settings: Settings) -> None:
    """Run the operator until it is told to stop."""
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    identity = f"{os.environ.get('POD_ID') or socket.gethostname()}_{secrets.token_hex(4)}"
    cluster = await Cluster.connect(len(settings.namespaces) or 1)
    runtime = Runtime(settings, cluster, end_now, identity)
    news = runtime.news
    shell = Shell(
        settings.namespaces,
        lambda type_, obj: _hand_over(loop, news.class_, type_, obj),
    )
    await runtime.start(lambda: shell.alive)
    shell.start()
    await stopped.wait()
    await runtime.stop()
    await asyncio.to_thread(shell.stop)


def _hand_over(loop: asyncio.AbstractEventLoop, take: Take, type_: str | None, obj: Object) -> None:
    loop.call_soon_threadsafe(take, type_, obj)


def end_now() -> None:
    """End the process at once: whatever is under way must not be finished by us."""
    logging.shutdown()
    os._exit(1)


def tune(settings: kopf.OperatorSettings) -> None:
    """Set kopf up, each setting for its reason."""
    # We post a few Events of our own, with names that make them unique.
    settings.posting.enabled = False
    # Peering has no fencing and freezes everybody at equal priorities.
    settings.peering.standalone = True
    # The CRDs are there before us, so kopf need not watch CRDs and namespaces.
    settings.scanning.disabled = True
    # Without an end: an API server that is away for a minute must not end kopf.
    settings.networking.error_backoffs = Backoffs()
    # Five minutes, kopf's default, would hold a watcher back for all that time.
    settings.networking.request_timeout = 30.0
    # Bookmarks come every minute; a longer silence is a dead connection.
    settings.watching.inactivity_timeout = 75.0
    # Regular reconnects keep that path in use.
    settings.watching.server_timeout = 300
    # Between lists: a server that says 410 to every watch would be asked ten times a second.
    settings.watching.reconnect_backoff = 2.0
    # `watching.initial_streaming` stays off: after a drop it skips what it has not seen.
    # `queueing.worker_limit` stays unset: idle workers count, which throttles everybody.
    # `persistence` stays as it is: without change handlers kopf stores nothing.
    # kopf would kill the whole process, though only its own thread is to end.
    settings.process.ultimate_exiting_timeout = None


@kopf.on.login()
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Log in as the pod's service account, else as KUBECONFIG says."""
    if "KUBECONFIG" not in os.environ:
        account = kopf.login_with_service_account(**kwargs)
        if account:
            return account
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.event(GROUP, VERSION, "agentclasses")
async def on_class(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Take news of a class."""
    memo.on_class(event["type"], event["object"])
