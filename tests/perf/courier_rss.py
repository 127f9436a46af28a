"""What an idle courier holds in memory, beside a bare asyncio process and an aiohttp server.

Run as `python -m tests.perf.courier_rss`; prints JSON, in MB (10^6 bytes). The courier is the
pod's process, connected to a real nats-server; "at work" is after an agent has attached, 20
model calls have passed and as many events. PSS counts a page that is shared in parts.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.courier.conftest import document_of
from tests.courier.pod import FakeAgent, eventually
from tests.servers.nats import NatsServer, free_port, nats_binary
from tests.servers.vllm import vllm_server

from agenttask_api.clonefacts import CloneFacts
from agenttask_courier.places import Places

SETTLE_SECONDS = 3.0
CALLS = 20
TARGET_MB = 60.0
BARE = "import asyncio; asyncio.run(asyncio.sleep(600))"
HELLO = """
import sys
from aiohttp import web
async def hello(request):
    return web.Response(text="hello")
app = web.Application()
app.add_routes([web.get("/", hello)])
web.run_app(app, path=sys.argv[1], print=None, access_log=None)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        nats = NatsServer(folder / "jetstream", nats_binary(), free_port())
        nats.start()
        try:
            with vllm_server() as model:
                found = asyncio.run(measure(folder, nats.url, model.url))
        finally:
            nats.stop()
    print(json.dumps({"target RSS": TARGET_MB, **found}, indent=2))


async def measure(folder: Path, nats_url: str, model_url: str) -> dict[str, object]:
    places = laid_out(folder / "pod")
    serve = ("-m", "agenttask_courier", "--root", str(folder / "pod"), "serve")
    told = {"NATS_URL": nats_url, "VLLM_URL": model_url}
    with (
        running("-c", BARE) as bare,
        running("-c", HELLO, str(folder / "hello.sock")) as hello,
        running(*serve, environment=told) as courier,
    ):
        await eventually(places.door_socket.exists)
        await asyncio.sleep(SETTLE_SECONDS)
        found: dict[str, object] = {
            "bare asyncio": memory(bare),
            "aiohttp hello": memory(hello),
            "courier waiting": memory(courier),
        }
        await worked(places)
        await asyncio.sleep(SETTLE_SECONDS)
        return {**found, "courier at work": memory(courier)}


async def worked(places: Places) -> None:
    """Let an agent attach, ask and tell; it stays attached."""
    agent = FakeAgent(places)
    await agent.attach()
    for step in range(CALLS):
        assert (await agent.ask()).status_code == 200
        event = {"step": step, "type": "decision", "message": "on and on"}
        assert (await agent.door.post("/events", json=event)).status_code == 202


def laid_out(root: Path) -> Places:
    """Return a pod's folders as the clone leaves them, without a repository."""
    places = Places.below(root)
    for path in vars(places).values():
        inside = path.parent if path == places.termination_log else path
        inside.mkdir(parents=True, exist_ok=True)
    document = document_of("https://git.invalid/x.git")
    places.task_file.write_text(document.model_dump_json(by_alias=True), encoding="utf-8")
    facts = CloneFacts(base_commit="0" * 40, ref="refs/heads/main")
    places.clone_facts.write_text(facts.model_dump_json(by_alias=True), encoding="utf-8")
    return places


@contextmanager
def running(*argv: str, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run Python with little more than the pod's variables; yield its process id."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, *argv], env={**given, **(environment or {})}, stdout=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def memory(pid: int) -> dict[str, float]:
    """Return resident and proportional set size in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines()[1:]
    sizes = {key: int(rest.split()[0]) for key, rest in (line.split(":", 1) for line in lines)}
    return {name.upper(): round(sizes[name] * 1024 / 1e6, 1) for name in ("Rss", "Pss")}


if __name__ == "__main__":
    main()
