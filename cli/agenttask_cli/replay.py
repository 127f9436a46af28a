"""`agenttask replay`: send a finished run's messages again, under the ids they had.

Within NATS's window of two hours a repeat is dropped by NATS itself; later a consumer tells
it by `ce-id`.
"""

import asyncio
import sys
from typing import Any

from agenttask_cli.cluster import Cluster
from agenttask_cli.errors import EX_SUCCEEDED
from agenttask_cli.natsbus import Access, connected, send, stored_artifacts
from agenttask_cli.replaying import finished_task, replay_messages


def replay(cluster: Cluster, name: str, access: Access, cluster_id: str) -> int:
    """Replay one task's last run; raises BadInput, Failed and ClusterError."""
    return asyncio.run(replay_task(cluster.task(name), access, cluster_id))


async def replay_task(manifest: dict[str, Any], access: Access, cluster_id: str) -> int:
    """Send what the resource and the stored artifacts tell; raises BadInput and Failed."""
    task = finished_task(manifest)
    async with connected(access) as jetstream:
        stored = await stored_artifacts(jetstream, task.key.namespace)
        messages = replay_messages(task, tuple(stored), cluster_id)
        known = await send(jetstream, messages)
    for message, had in zip(messages, known, strict=True):
        sys.stdout.write(f"{message.subject}: {'NATS had it already' if had else 'sent'}\n")
    return EX_SUCCEEDED
