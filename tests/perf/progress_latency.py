"""How long a step of the agent takes until a listener on NATS has it, and a log line as well.

Run as `python -m tests.perf.progress_latency [STEPS]`; prints JSON, in milliseconds. The way is
the real one: the agent's door client, the courier's door, its publisher with an acknowledgement
for every event, a nats-server of this machine, a plain subscriber. The target of progress
events is 300 ms.
"""

import asyncio
import contextlib
import json
import math
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.courier.conftest import document_of
from tests.servers.nats import NatsServer, free_port, nats_binary

import nats
from agenttask_agent.door import Door, open_client, wait_for_door
from agenttask_api.clonefacts import CloneFacts
from agenttask_api.door import DoorEvent
from agenttask_api.logs import LogsAnswer, ask_subject, logs_subject
from agenttask_courier.places import Places
from agenttask_courier.serve import Courier
from agenttask_courier.settings import Settings

STEPS = 400
PAUSE_SECONDS = 0.05
TARGET_MS = 300.0
TASK = "team-a.fix-add"


def main(steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder) / "jetstream", nats_binary(), free_port())
        server.start()
        try:
            print(json.dumps(asyncio.run(measure(Path(folder), server.url, steps)), indent=2))
        finally:
            server.stop()


async def measure(folder: Path, url: str, steps: int) -> dict[str, object]:
    places = Places.below(folder / "pod")
    for path in vars(places).values():
        inside = path.parent if path == places.termination_log else path
        inside.mkdir(parents=True, exist_ok=True)
    document = document_of("https://git.invalid/x.git")
    facts = CloneFacts(base_commit="0" * 40, ref="refs/heads/main")
    settings = Settings("http://127.0.0.1:9", url, cluster_id="perf", pod_uid="pod")
    courier = Courier(places, settings, document, facts)
    serving = asyncio.create_task(courier.run())
    client = await nats.connect(url)
    told: dict[int, float] = {}
    heard: dict[str, dict[int, float]] = {"progress": {}, "log line": {}}
    await listen(client, heard)
    try:
        await asyncio.to_thread(wait_for_door, places.door_socket, 20)
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        agent = threading.Thread(
            target=work, args=(places.door_socket, steps, told, loop, ready), daemon=True
        )
        await ask_for_logs(client)
        agent.start()
        await asyncio.wait_for(ready.wait(), steps * PAUSE_SECONDS * 4 + 60)
        await all_heard(heard, steps)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await client.close()
    found = {name: figures(told, moments) for name, moments in heard.items()}
    worst = found["progress"]["max"]
    return {"steps": steps, **found, "target": TARGET_MS, "met": worst <= TARGET_MS}


async def listen(client: Client, heard: dict[str, dict[int, float]]) -> None:
    async def progress(message: Msg) -> None:
        event = json.loads(message.data)
        heard["progress"].setdefault(int(event["step"]), time.perf_counter())

    async def line(message: Msg) -> None:
        heard["log line"].setdefault(int(json.loads(message.data)["step"]), time.perf_counter())

    await client.subscribe(f"agent.response.progress.{TASK}", cb=progress)
    await client.subscribe(logs_subject(TASK), cb=line)
    await client.flush()


async def ask_for_logs(client: Client) -> None:
    for _ in range(200):
        with contextlib.suppress(nats.errors.NoRespondersError):
            reply = await client.request(ask_subject(TASK), b'{"follow_seconds": 600}', timeout=2)
            assert not LogsAnswer.model_validate_json(reply.data).error
            return
        await asyncio.sleep(0.05)
    raise SystemExit("the courier does not answer")


def work(
    socket: Path,
    steps: int,
    told: dict[int, float],
    loop: asyncio.AbstractEventLoop,
    ready: asyncio.Event,
) -> None:
    """Be an agent that takes one step every 50 ms."""
    with open_client(socket) as client:
        door = Door(client)
        with door.lifeline():
            for step in range(1, steps + 1):
                told[step] = time.perf_counter()
                door.tell(DoorEvent(step=step, type="action", message="files.read_file a.py"))
                time.sleep(PAUSE_SECONDS)
            door.flush()
            loop.call_soon_threadsafe(ready.set)
            time.sleep(1)


async def all_heard(heard: dict[str, dict[int, float]], steps: int) -> None:
    for _ in range(200):
        if all(len(moments) == steps for moments in heard.values()):
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"not all was heard: { {k: len(v) for k, v in heard.items()} } of {steps}")


def figures(told: dict[int, float], moments: dict[int, float]) -> dict[str, float]:
    taken = sorted((moments[step] - began) * 1000 for step, began in told.items())
    return {name: round(value, 2) for name, value in _percentiles(taken)}


def _percentiles(ordered: list[float]) -> Iterator[tuple[str, float]]:
    for percent in (50, 99):
        yield f"p{percent}", ordered[math.ceil(len(ordered) * percent / 100) - 1]
    yield "max", ordered[-1]


main(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)
