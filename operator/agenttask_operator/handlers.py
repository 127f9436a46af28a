"""kopf's shell: events in, nothing else.

Only `on.event` is used, so kopf writes nothing to a task: no finalizer, no annotation,
no progress. Its handlers put news into the cache and keys on the queue; what follows
from them is decided elsewhere, and repaired by a resync should kopf lose an event.
"""

import itertools
import logging
import os
import random
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import kopf

from agenttask_api.schema import GROUP, VERSION
from agenttask_operator.cluster import Cluster
from agenttask_operator.runtime import Runtime
from agenttask_operator.settings import Settings, read_settings


class Backoffs:
    """Seconds between retries of kopf's own requests, without an end.

    A finite list would end the process once the API server is away for longer.
    """

    def __iter__(self) -> Iterator[float]:
        for attempt in itertools.count():
            yield min(2.0 ** min(attempt, 5), 30.0) * (0.5 + random.random() / 2)


def run(settings: Settings) -> None:
    """Run the operator until it is told to stop."""
    kopf.run(
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        standalone=True,
    )


def tune(settings: kopf.OperatorSettings) -> None:
    """Set kopf up, each setting for its reason."""
    # We post a few Events of our own, with names that make them unique.
    settings.posting.enabled = False
    # Peering has no fencing and freezes everybody at equal priorities.
    settings.peering.standalone = True
    # The CRDs are there before us, so kopf need not watch CRDs and namespaces.
    settings.scanning.disabled = True
    # Without an end: an API server that is away for a minute must not end the process.
    settings.networking.error_backoffs = Backoffs()
    # Five minutes, kopf's default, would hold a watcher back for all that time.
    settings.networking.request_timeout = 30.0
    # Bookmarks come every minute; a longer silence is a dead connection.
    settings.watching.inactivity_timeout = 75.0
    # Regular reconnects keep that path in use.
    settings.watching.server_timeout = 300
    # `watching.initial_streaming` stays off: after a drop it skips what it has not seen.
    # `queueing.worker_limit` stays unset: idle workers count, which throttles everybody.
    # `persistence` stays as it is: without change handlers kopf stores nothing.
    # Less than the grace period of our own pod.
    settings.process.ultimate_exiting_timeout = 25.0


def end_now() -> None:
    """End the process at once: whatever is under way must not be finished by us."""
    logging.shutdown()
    os._exit(1)


@kopf.on.startup()
async def configure(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Set kopf up and start everything that is not kopf."""
    tune(settings)
    identity = f"{os.environ.get('POD_ID') or socket.gethostname()}_{secrets.token_hex(4)}"
    runtime = Runtime(read_settings(os.environ), await Cluster.connect(), end_now, identity)
    await runtime.start()
    memo.runtime = runtime


@kopf.on.login()
def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Log in as the pod's service account, else as KUBECONFIG says."""
    if "KUBECONFIG" not in os.environ:
        account = kopf.login_with_service_account(**kwargs)
        if account:
            return account
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """Stop what `configure` started."""
    runtime: Runtime | None = memo.get("runtime")
    if runtime:
        await runtime.stop()


@kopf.on.event(GROUP, VERSION, "agenttasks")
async def on_task(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Take news of a task."""
    memo.runtime.news.task(event["type"], event["object"])


@kopf.on.event(GROUP, VERSION, "agentclasses")
async def on_class(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Take news of a class."""
    memo.runtime.news.class_(event["type"], event["object"])
