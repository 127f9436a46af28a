"""`agenttask-courier` as the pod starts it: real processes, real signals."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin, write_files
from tests.courier.pod import DEADLINE_SECONDS, FakeAgent, eventually, running_pod
from tests.servers.vllm import VLLM

from agenttask_api.digest import parse_digest
from agenttask_courier.__main__ import main
from agenttask_courier.clone import clone
from agenttask_courier.places import Places


@pytest.fixture
def root(places: Places, origin: Origin, make_document: MakeDocument) -> Path:
    """A pod's folders after the clone, for `--root`."""
    document = make_document()
    places.task_file.write_text(document.model_dump_json(by_alias=True), "utf-8")
    assert clone(places, document) == 0
    return places.task.parent


@contextmanager
def courier(root: Path, command: str, **more: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a subcommand with nothing but the pod's variables; kill what is left at the end."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "VLLM_URL": "http://127.0.0.1:9",
        **more,
    }
    argv = [sys.executable, "-m", "agenttask_courier", "--root", str(root), command]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait(process: "subprocess.Popen[bytes]", seconds: float = DEADLINE_SECONDS) -> int:
    return process.wait(seconds)


@pytest.mark.parametrize(("command", "socket"), [("serve", "door"), ("verifier", "vdoor")])
async def test_sigterm_ends_it_within_a_second(root: Path, command: str, socket: str):
    with courier(root, command) as process:
        await eventually(lambda: any((root / socket).glob("*.sock")))
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert await asyncio.to_thread(wait, process) == 0
        assert time.monotonic() - started < 1


async def test_run_of_a_real_process_with_drain_and_sigterm(root: Path, places: Places):
    with courier(root, "serve") as process:
        agent = FakeAgent(places)
        await agent.attach()
        write_files(places.repo, {"half": "done"})
        with courier(root, "drain") as hook:
            await asyncio.wait({asyncio.create_task(asyncio.to_thread(wait, hook))}, timeout=0.5)
            assert hook.poll() is None
            await agent.die()
            assert await asyncio.to_thread(wait, hook) == 0
        assert parse_digest(places.termination_log.read_text("utf-8")).final
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(wait, process) == 0


async def test_courier_that_died_ends_the_run_when_it_comes_back(
    root: Path, places: Places, make_document: MakeDocument, vllm: VLLM
):
    with courier(root, "serve"):
        agent = FakeAgent(places)
        await agent.attach()
        await eventually(places.attached_mark.exists)
    await agent.die()
    with courier(root, "serve"):
        await eventually(lambda: '"final":true' in places.termination_log.read_text("utf-8"))
    digest = parse_digest(places.termination_log.read_text("utf-8"))
    assert digest.reason == "InternalError"
    assert "died during the run" in digest.message


def test_clone_without_a_document_says_so(places: Places):
    assert main(["--root", str(places.task.parent), "clone"]) == 1
    assert "no task document" in places.termination_log.read_text("utf-8")


async def test_new_clone_forgets_the_old_run(
    root: Path, places: Places, make_document: MakeDocument, vllm: VLLM
):
    places.attached_mark.touch()
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        await eventually(lambda: pod.digest().reason == "Running")
        assert not pod.digest().final
