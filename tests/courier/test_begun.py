"""A push that is cut off: what the server has and what the run says of it agree."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin
from tests.courier.pod import Pod, eventually, running_pod
from tests.courier.test_base_moved import KEPT, colleague
from tests.courier.test_process import courier, root
from tests.servers.vllm import VLLM

from agenttask_api.digest import Digest, parse_digest
from agenttask_courier.begun import Begun, read_mark, write_mark
from agenttask_courier.places import Places

__all__ = ["root"]

FIX = {"src/calc.py": "def add(a, b):\n    return a + b\n"}
BRANCH = "agenttask/fix-add"
GRACE = {"runSeconds": 60, "flushSeconds": 5, "graceSeconds": 11}


@contextmanager
def held(origin: Origin, name: str) -> Iterator[Path]:
    """Let a hook of the server wait; the file that is yielded exists once it does."""
    folder = origin.server.root / origin.name / "hooks"
    hold, there = folder / "hold", folder / "there"
    hold.touch()
    hook = folder / name
    hook.write_text(f"#!/bin/sh\ntouch {there}\nwhile [ -e {hold} ]; do sleep 0.05; done\n")
    hook.chmod(0o755)
    try:
        yield there
    finally:
        hold.unlink()


async def cut_off(pod: Pod, there: Path, spoil: Origin | None = None) -> Digest:
    """Let a run push, and end its pod in mid-push; `spoil` = the server answers no more."""
    await pod.agent.attach()
    pod.agent.commit(FIX)
    await pod.agent.hand_in()
    await eventually(there.exists)
    before = pod.digest()
    assert (before.pushing, before.final, before.branch) == (BRANCH, False, "")
    assert read_mark(pod.places.push_mark) == Begun(BRANCH, before.commit)
    if spoil:
        spoil.server.fail_with.extend([500] * 20)
    pod.courier.terminate()
    return await pod.settled()


@pytest.mark.parametrize(
    ("answers", "words"),
    [(True, "the branch did not have the commit"), (False, "could not be asked")],
)
async def test_push_cut_off_is_told_with_what_is_known(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    vllm: VLLM,
    answers: bool,
    words: str,
):
    with held(origin, "pre-receive") as there:
        async with running_pod(places, make_document(clocks=GRACE), vllm.url) as pod:
            said = await cut_off(pod, there, None if answers else origin)
            assert (said.reason, said.phase, said.branch) == ("PushInterrupted", "Failed", "")
            assert said.pushing == BRANCH
            assert f"the push of {said.commit[:12]} to branch {BRANCH} was cut off" in said.message
            assert words in said.message
            assert not origin.has(BRANCH)


async def test_push_that_arrived_is_a_success_though_its_answer_never_came(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    with held(origin, "post-receive") as there:
        async with running_pod(places, make_document(clocks=GRACE), vllm.url) as pod:
            said = await cut_off(pod, there)
            assert (said.reason, said.phase, said.branch) == ("Completed", "Succeeded", BRANCH)
            assert said.pushing == ""
            assert origin.commit(BRANCH) == said.commit
            assert read_mark(places.push_mark) is None


async def test_work_that_was_kept_though_its_answer_never_came_is_named(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    output = {"mode": "Branch", "branch": "main"}
    async with running_pod(places, make_document(output=output, clocks=GRACE), vllm.url) as pod:
        await pod.agent.attach()
        theirs = colleague(origin, {"src/calc.py": "def add(a, b):\n    return sum((a, b))\n"})
        pod.agent.commit(FIX)
        with held(origin, "post-receive") as there:
            await pod.agent.hand_in()
            await eventually(there.exists)
            pod.courier.terminate()
            said = await pod.settled()
    assert (said.reason, said.branch, said.pushing) == ("BaseMoved", KEPT, "")
    assert origin.commit(KEPT) == said.commit
    assert origin.commit("main") == theirs


async def test_courier_killed_while_pushing_says_so_when_it_comes_back(
    root: Path,
    places: Places,
    origin: Origin,
):
    commit = origin.push_from_elsewhere(BRANCH)
    places.attached_mark.touch()
    write_mark(places.push_mark, Begun(BRANCH, commit))
    with courier(root, "serve"):
        await eventually(lambda: '"final":true' in places.termination_log.read_text("utf-8"))
    said = parse_digest(places.termination_log.read_text("utf-8"))
    assert said.reason == "PushInterrupted"
    assert "the courier died during the run" in said.message
    assert f"{commit[:12]} to branch {BRANCH} was cut off" in said.message
    assert "it arrived" in said.message


async def test_push_that_ended_leaves_no_mark(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        said = await pod.settled()
    assert (said.branch, said.pushing) == (BRANCH, "")
    assert not await asyncio.to_thread(places.push_mark.exists)


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"branch": "b"})])
def test_mark_that_was_cut_is_none(tmp_path: Path, text: str):
    (tmp_path / "mark").write_text(text, encoding="utf-8")
    assert read_mark(tmp_path / "mark") is None


def test_full_disk_stops_no_push() -> None:
    write_mark(Path("/dev/full"), Begun("b", "c"))
    assert read_mark(Path("/dev/null")) is None
