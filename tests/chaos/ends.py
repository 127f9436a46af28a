"""What NATS keeps of the ends of tasks."""

import asyncio
from collections import Counter

from nats.aio.client import Client
from tests.servers.nats import NatsServer


def terminal_events(nats: NatsServer) -> Counter[str]:
    """Return how often NATS keeps the end of each task, by subject."""

    async def read() -> Counter[str]:
        client = Client()
        await client.connect(nats.url)
        info = await client.jetstream().stream_info("AGENT_RESPONSES", subjects_filter=">")
        await client.close()
        kept = info.state.subjects or {}
        return Counter(
            {s: n for s, n in kept.items() if s.split(".")[2] in ("completed", "failed")}
        )

    return asyncio.run(read())


def expected_ends(space: str, count: int) -> dict[str, int]:
    """Return what NATS keeps when that many tasks of a namespace have succeeded, once each."""
    return {f"agent.response.completed.{space}.t-{n}": 1 for n in range(count)}
