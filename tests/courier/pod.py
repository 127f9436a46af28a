"""A pod in one process: a clone, a verifier, a courier, and an agent that does as told."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.courier.conftest import DEVELOPER, git, write_files

from agenttask_api.clonefacts import CloneFacts
from agenttask_api.digest import Digest, parse_digest
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.clone import clone
from agenttask_courier.places import Places
from agenttask_courier.serve import Courier
from agenttask_courier.settings import Settings
from agenttask_courier.sockets import listen
from agenttask_courier.tracing import NOWHERE, Spans
from agenttask_courier.verifier import verifier_app

POD_UID = "11111111-2222-3333-4444-555555555555"
DEADLINE_SECONDS = 60.0
"""Bounds a wait; a machine that runs other things needs far more than the work takes."""


class FakeAgent:
    """What the agent's container would say at the door."""

    def __init__(self, places: Places) -> None:
        self.places = places
        transport = httpx.AsyncHTTPTransport(uds=str(places.door_socket))
        self.door = httpx.AsyncClient(
            transport=transport, base_url="http://door", timeout=DEADLINE_SECONDS
        )
        self._lifeline = contextlib.AsyncExitStack()

    async def attach(self) -> None:
        """Open the lifeline and keep it."""
        await eventually(self.places.door_socket.exists)
        response = await self._lifeline.enter_async_context(self.door.stream("GET", "/lifeline"))
        assert response.status_code == 200

    async def die(self) -> None:
        await self._lifeline.aclose()
        await self.door.aclose()

    async def ask(self, **more: object) -> httpx.Response:
        body = {"model": "whatever", "messages": [{"role": "user", "content": "hi"}], **more}
        return await self.door.post("/v1/chat/completions", json=body)

    def commit(self, files: Mapping[str, str | None], author: tuple[str, str] = DEVELOPER) -> str:
        """Commit files in the workspace; None removes one."""
        write_files(self.places.repo, {n: c for n, c in files.items() if c is not None})
        for name in (n for n, c in files.items() if c is None):
            (self.places.repo / name).unlink()
        git(self.places.repo, "add", "-A", "-f", ".")
        git(self.places.repo, "commit", "-qm", "work of the agent", who=author)
        return git(self.places.repo, "rev-parse", "HEAD")

    async def hand_in(self, bundle: bytes | None = None, **report: object) -> None:
        """Deliver bundle and report."""
        bundle = self.bundle() if bundle is None else bundle
        if bundle:
            response = await self.door.put("/bundle", content=bundle)
            assert response.status_code == 201, response.text
        response = await self.door.put("/result", json={"stopReason": "Completed", **report})
        assert response.status_code == 202, response.text

    def bundle(self, spec: str = "") -> bytes:
        base = CloneFacts.model_validate_json(self.places.clone_facts.read_bytes()).base_commit
        path = self.places.home / "out.bundle"
        git(self.places.repo, "bundle", "create", "-q", str(path), spec or f"{base}..HEAD")
        return path.read_bytes()

    async def receipt(self) -> dict[str, Any]:
        response = await self.door.get("/receipt")
        assert response.status_code == 200
        return dict(response.json())


class Pod:
    """The courier of one run under test."""

    def __init__(self, places: Places, courier: Courier) -> None:
        self.places = places
        self.courier = courier
        self.agent = FakeAgent(places)

    def digest(self) -> Digest:
        return parse_digest(self.places.termination_log.read_text("utf-8"))

    def patch(self) -> str:
        """Return the patch that judging left, as text."""
        path = self.courier.judge.evidence.patch
        return path.read_text("utf-8", "replace") if path else ""

    async def settled(self) -> Digest:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.courier.settled.wait()
        return self.digest()


@asynccontextmanager
async def running_pod(
    places: Places,
    document: TaskDocument,
    vllm_url: str,
    nats_url: str = "",
    spans: Spans = NOWHERE,
) -> AsyncIterator[Pod]:
    """Clone, start verifier and courier, and end both with the block."""
    assert await asyncio.to_thread(clone, places, document) == 0
    facts = CloneFacts.model_validate_json(places.clone_facts.read_bytes())
    settings = Settings(vllm_url, nats_url, cluster_id="test", pod_name="p", pod_uid=POD_UID)
    courier = Courier(places, settings, document, facts, spans=spans)
    async with listen(verifier_app(places), places.verifier_socket):
        serving = asyncio.create_task(courier.run())
        pod = Pod(places, courier)
        try:
            yield pod
        finally:
            courier.terminate()
            await pod.agent.die()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await serving


async def eventually(condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(0.02)


def apply_check(folder: Path, patch: str) -> None:
    """Assert that git would apply the patch to the folder's checkout."""
    argv = ["git", "-C", str(folder), "apply", "--check", "-"]
    subprocess.run(argv, input=patch.encode(), check=True, capture_output=True)
