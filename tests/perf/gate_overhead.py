"""What the model gate adds to a call: the same request through the door and directly.

Run as `python -m tests.perf.gate_overhead`; prints JSON. Model, door and client are three
processes; calls alternate, so that both ways see the same machine. The tenth percentiles
are those of calls that nothing else disturbed.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.courier.conftest import document_of
from tests.servers.nats import free_port

from agenttask_agent.door import wait_for_door
from agenttask_api.door import Receipt
from agenttask_courier.door import Door
from agenttask_courier.gate import Gate
from agenttask_courier.inbox import Inbox
from agenttask_courier.sockets import listen
from agenttask_courier.upstream import Upstream

CALLS = 400
WARM_UP = 20
SIZES = {"2 KB": 2_000, "32 KB": 32_000, "256 KB": 256_000}
"""Of the conversation, in characters."""
MODEL = """
import sys
from aiohttp import web
ANSWER = {
    "id": "c", "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 400},
                 "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
async def chat(request):
    await request.json()
    return web.json_response(ANSWER)
app = web.Application(client_max_size=2**24)
app.add_routes([web.post("/v1/chat/completions", chat)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""


async def serve_door(folder: Path, url: str) -> None:
    """Serve a door until killed: what the courier's process does."""
    receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
    document = document_of("https://git.invalid/x.git", constraints={"maxModelTokens": 10**8})
    (folder / "key").write_text("sk-measured", "utf-8")
    gate = Gate(document, Upstream(url), folder / "key")
    door = Door(gate, Inbox(folder / "incoming", 1000), lambda _: None, receipt)
    door.inbox.attached.set()
    async with listen(door.app(), folder / "door.sock"):
        await asyncio.Event().wait()


@contextmanager
def running(*argv: str) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, *argv])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def wait_until(check: Callable[[], object]) -> None:
    for _ in range(400):
        try:
            check()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the model server did not come up")


def milliseconds(client: httpx.Client, body: bytes) -> float:
    began = time.perf_counter()
    answer = client.post("/v1/chat/completions", content=body)
    taken = time.perf_counter() - began
    if answer.status_code != httpx.codes.OK:
        raise SystemExit(f"{answer.status_code}: {answer.text[:200]}")
    return taken * 1000


def on_cpu(pid: int) -> float:
    """Return the milliseconds that a process has run, which no other load changes."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("utf-8").split()[0]) / 1e6


def measure(direct: httpx.Client, door: httpx.Client, pid: int, size: int) -> object:
    messages = [{"role": "user", "content": "word " * (size // 5)}]
    body = json.dumps({"model": "m", "messages": messages}).encode()
    before = on_cpu(pid)
    pairs = [(milliseconds(direct, body), milliseconds(door, body)) for _ in range(CALLS)][WARM_UP:]
    spent = on_cpu(pid) - before
    straight, gated = zip(*pairs, strict=True)
    middle = statistics.median
    undisturbed = [statistics.quantiles(way, n=10)[0] for way in (straight, gated)]
    return {
        "direct_ms": round(middle(straight), 2),
        "through_the_gate_ms": round(middle(gated), 2),
        "added_ms": round(middle(gated) - middle(straight), 2),
        "added_p10_ms": round(undisturbed[1] - undisturbed[0], 2),
        "courier_cpu_ms": round(spent / CALLS, 2),
    }


def main() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="gate-") as name:
        folder = Path(name)
        me = ("-m", "tests.perf.gate_overhead", name, url)
        with running("-c", MODEL, str(port)), running(*me) as pid:
            wait_for_door(folder / "door.sock", 20)
            transport = httpx.HTTPTransport(uds=str(folder / "door.sock"))
            with (
                httpx.Client(base_url=url, trust_env=False) as direct,
                httpx.Client(base_url="http://door", transport=transport) as door,
            ):
                wait_until(lambda: direct.get("/"))
                figures = {n: measure(direct, door, pid, size) for n, size in SIZES.items()}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run(serve_door(Path(sys.argv[1]), sys.argv[2]))
    else:
        main()
