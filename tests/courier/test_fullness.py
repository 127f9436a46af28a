"""A volume is full at 80 % of its limit, and a run ends while its work can still be saved."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin, write_files
from tests.courier.pod import apply_check, running_pod
from tests.courier.test_run import FIX, outcome, published_result
from tests.servers.nats import NatsServer
from tests.servers.vllm import VLLM

from agenttask_courier import fullness
from agenttask_courier.fullness import VolumeFull, unless_full, until_full, used_bytes
from agenttask_courier.places import Places

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fullness, "PAUSE_SECONDS", 0.05)


def test_what_is_allocated_counts_once_and_links_lead_nowhere(tmp_path: Path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    for path in (outside, folder / "deep" / "er"):
        path.mkdir(parents=True)
    empty = used_bytes(folder)
    (outside / "huge").write_bytes(b"x" * 4 * MIB)
    (folder / "deep" / "er" / "data").write_bytes(b"x" * MIB)
    (folder / "again").hardlink_to(folder / "deep" / "er" / "data")
    (folder / "out").symlink_to(outside)
    with (folder / "sparse").open("wb") as file:
        file.truncate(100 * MIB)
    assert MIB <= used_bytes(folder) - empty < MIB + 64 * 1024


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path):
    assert used_bytes(tmp_path / "none") == 0


@pytest.mark.parametrize(("size", "full"), [(7 * MIB, False), (8 * MIB, True)])
async def test_full_is_eighty_percent(tmp_path: Path, size: int, full: bool):
    (tmp_path / "data").write_bytes(b"x" * size)
    waiting = asyncio.create_task(until_full(tmp_path, 10 * MIB))
    await asyncio.wait({waiting}, timeout=0.5)
    assert waiting.done() is full
    waiting.cancel()


async def test_without_a_limit_nothing_is_full(tmp_path: Path):
    (tmp_path / "data").write_bytes(b"x" * MIB)
    assert await unless_full(asyncio.sleep(0.2, "done"), tmp_path, 0) == "done"


async def test_work_that_fills_the_volume_is_broken_off(tmp_path: Path):
    (tmp_path / "data").write_bytes(b"x" * MIB)
    with pytest.raises(VolumeFull, match=f"of {MIB} bytes"):
        await unless_full(asyncio.sleep(60), tmp_path, MIB)


async def test_a_full_workspace_ends_the_run_with_digest_and_salvage(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    document = make_document(workspaceBytes=32 * MIB)
    async with running_pod(places, document, vllm.url, nats.url) as pod:
        await pod.agent.attach()
        write_files(places.repo, FIX)
        (places.repo / "junk").write_bytes(b"x" * 30 * MIB)
        receipt = await pod.agent.receipt()
        assert receipt["reason"] == "WorkspaceFull"
        assert outcome(pod) == ("Failed", "WorkspaceFull", "")
        assert "80 % of limits.workspaceSize" in pod.digest().message
        assert pod.digest().final
        assert (await pod.agent.ask()).status_code == 403
        apply_check(origin.work, pod.patch())
        assert "return a + b" in pod.patch()
    refs = json.loads(await published_result(nats))["artifacts"]["refs"]
    assert [ref["name"] for ref in refs] == ["change.patch"]
    assert not origin.has("agenttask/fix-add")


async def test_checks_that_fill_their_volume_end_the_run(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    fill = f"open('junk', 'wb').write(b'x' * {40 * MIB}); import time; time.sleep(60)"
    check = {"name": "fill", "run": [sys.executable, "-c", fill]}
    document = make_document(workspaceBytes=32 * MIB, verify=[check])
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        assert (await pod.agent.receipt())["reason"] == "WorkspaceFull"
        assert not list(places.checkout.iterdir())
