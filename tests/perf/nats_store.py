"""How fast results and artifacts reach NATS: python -m tests.perf.nats_store [NATS_SERVER].

The baseline is the object store of NATS's own Go client (hack/cluster/go/nats-objects) putting
the same file on the same server, checksum included on both sides. A fresh server on 127.0.0.1;
each figure is the median of rounds in turn with its baseline. Also: the resident memory of a
process that has imported the courier.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.operator.outage import World
from tests.servers.nats import NatsServer, built, free_port, nats_binary

import nats
from agenttask_courier.inbox import stored

ROUNDS = 7
EVENTS = 500
LARGE_BYTES, SMALL_BYTES = 100 * 1024 * 1024, 1024 * 1024
IMPORT = (
    "import agenttask_courier.serve, os; from pathlib import Path;"
    " print(int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE'))"
)


def official(server: NatsServer, number: int, path: Path) -> dict[str, float]:
    """Return the seconds that NATS's own Go client needs to put and to get the same file."""
    argv = [built("nats-objects"), server.url, f"official-{number}", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


async def delivered(world: World, name: str, path: Path) -> float:
    """Return the seconds until artifact and result are stored, by the courier's own code."""
    courier = world.courier(name)
    await courier.events_sent()
    begun = time.monotonic()
    file = stored("change.patch", path)
    await courier.deliver((file,), b"{}")
    seconds = time.monotonic() - begun
    await courier.close()
    return seconds


async def event_latency(world: World, url: str) -> tuple[float, float]:
    """Return p50 and p99, in ms, from `event` in the courier to a subscriber."""
    client = await nats.connect(url)
    arrived: asyncio.Queue[float] = asyncio.Queue()

    async def take(_message: object) -> None:
        arrived.put_nowait(time.monotonic())

    courier = world.courier("latency")
    await courier.events_sent()
    await client.subscribe("agent.response.progress.team.latency", cb=take)
    await client.flush()
    found = []
    for number in range(EVENTS):
        begun = time.monotonic()
        courier.event("progress", str(number))
        found.append((await asyncio.wait_for(arrived.get(), 10) - begun) * 1000)
    await courier.close()
    await client.close()
    return statistics.median(found), sorted(found)[int(len(found) * 0.99)]


async def measure(binary: str, folder: Path) -> dict[str, object]:
    """Return all figures."""
    server = NatsServer(folder / "store", binary, free_port())
    server.start()
    try:
        world = World(server, folder)
        large, small = folder / "large", folder / "small"
        large.write_bytes(os.urandom(LARGE_BYTES))
        small.write_bytes(os.urandom(SMALL_BYTES))
        pairs = []
        for number in range(ROUNDS):
            base = await asyncio.to_thread(official, server, number, large)
            pairs.append((base["put"], await delivered(world, f"large-{number}", large)))
        ones = [await delivered(world, f"small-{n}", small) for n in range(ROUNDS)]
        p50, p99 = await event_latency(world, server.url)
    finally:
        server.stop()
    return {
        "large_official_client_seconds": round(statistics.median(b for b, _ in pairs), 2),
        "large_courier_seconds": round(statistics.median(c for _, c in pairs), 2),
        "large_speed_of_official_client": round(statistics.median(b / c for b, c in pairs), 2),
        "small_patch_and_result_ms": round(statistics.median(ones) * 1000, 1),
        "event_ms_p50": round(p50, 2),
        "event_ms_p99": round(p99, 2),
    }


def main() -> None:
    """Measure and print."""
    binary = sys.argv[1] if len(sys.argv) > 1 else nats_binary()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(binary, Path(folder)))
    idle = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True)
    figures["courier_imported_rss_mb"] = round(int(idle.stdout) / 1e6, 1)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
