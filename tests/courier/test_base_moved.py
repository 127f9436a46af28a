"""The branch moves while the agent works: rebased when clean, kept apart when not."""

import asyncio
import shutil
from pathlib import Path

from tests.courier.conftest import MakeDocument, Origin, git, write_files
from tests.courier.pod import running_pod
from tests.servers.vllm import VLLM

from agenttask_api.digest import Digest
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.judge import Evidence
from agenttask_courier.places import Places

FIX = {"src/calc.py": "def add(a, b):\n    return a + b\n"}
CHECK = {
    "name": "check",
    "run": ["sh", "-c", "ls && grep -q 'a + b' src/calc.py && test ! -e broken"],
}
"""Passes with the fix and fails where a colleague left `broken`."""
KEPT = "agenttask/fix-add-1-abcdef12"
OURS = ("AgentTask", "agenttask@noreply.invalid")


def to_main(make_document: MakeDocument, **fields: object) -> TaskDocument:
    return make_document(output={"mode": "Branch", "branch": "main"}, verify=[CHECK], **fields)


def colleague(origin: Origin, files: dict[str, str]) -> str:
    write_files(origin.work, files)
    git(origin.work, "add", ".")
    git(origin.work, "commit", "-qm", "colleague")
    git(origin.work, "push", "-q", "origin", "HEAD:main")
    return git(origin.work, "rev-parse", "HEAD")


async def run(
    places: Places, origin: Origin, document: TaskDocument, vllm: VLLM, theirs: dict[str, str]
) -> tuple[str, Digest, Evidence]:
    """Let a colleague push while the agent works; return their commit, digest and evidence."""
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        commit = colleague(origin, theirs)
        pod.agent.commit(FIX)
        pod.agent.commit({"docs.md": "explained\n"})
        await pod.agent.hand_in()
        await pod.agent.receipt()
        return commit, pod.digest(), pod.courier.judge.evidence


async def test_clean_change_is_rebased_verified_again_and_pushed(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    moved = {"other.md": "x\n"}
    theirs, digest, evidence = await run(places, origin, to_main(make_document), vllm, moved)
    tip = origin.commit("main")
    assert (digest.reason, digest.verdict) == ("Completed", "Verified")
    assert (digest.commit, digest.base, digest.branch) == (tip, theirs, "main")
    assert evidence.verification
    assert "other.md" in evidence.verification.steps[0].output, "verified on the new base"
    assert git(origin.server.root / origin.name, "rev-list", "--count", f"{theirs}..main") == "2"
    assert origin.server.git(origin.name, "show", "main:other.md") == "x"
    assert origin.server.git(origin.name, "show", "main:docs.md") == "explained"
    assert evidence.patch
    assert "other.md" not in evidence.patch.read_text("utf-8")


async def test_conflict_is_base_moved_and_the_work_is_kept(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    moved = {"src/calc.py": "def add(a, b):\n    return sum((a, b))\n"}
    theirs, digest, evidence = await run(places, origin, to_main(make_document), vllm, moved)
    assert (digest.phase, digest.reason, digest.verdict) == ("Failed", "BaseMoved", "")
    assert "conflicts" in digest.message
    assert KEPT in digest.message
    assert origin.commit("main") == theirs
    assert origin.commit(KEPT) == digest.commit
    assert evidence.patch
    assert "a + b" in evidence.patch.read_text("utf-8")


async def test_change_that_fails_on_the_new_base_is_kept(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    broken = {"broken": "until tomorrow\n"}
    theirs, digest, _ = await run(places, origin, to_main(make_document), vllm, broken)
    assert (digest.phase, digest.reason) == ("Failed", "BaseMoved")
    assert "does not pass any more" in digest.message
    assert origin.commit("main") == theirs
    assert origin.commit(KEPT) == digest.commit


async def test_two_pods_of_a_run_push_once(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, tmp_path: Path
):
    """A pod on a node that was thought lost and its successor, with different work."""
    await _race(places, origin, make_document(verify=[CHECK]), vllm, tmp_path)
    assert origin.has("agenttask/fix-add")
    assert _runs_commits(origin, "agenttask/fix-add") == 1


async def test_two_pods_of_a_run_push_to_the_base_branch_once(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, tmp_path: Path
):
    await _race(places, origin, to_main(make_document), vllm, tmp_path)
    assert _runs_commits(origin, "main") == 1


async def _race(
    places: Places, origin: Origin, document: TaskDocument, vllm: VLLM, tmp_path: Path
) -> None:
    second = Places.below(tmp_path / "second")
    shutil.copytree(tmp_path / "pod", tmp_path / "second")
    async with (
        running_pod(places, document, vllm.url) as one,
        running_pod(second, document, vllm.url) as two,
    ):
        for number, pod in enumerate((one, two)):
            await pod.agent.attach()
            pod.agent.commit(FIX, author=OURS)
            pod.agent.commit({f"note-{number}": "x"}, author=OURS)
        await asyncio.gather(one.agent.hand_in(), two.agent.hand_in())
        receipts = await asyncio.gather(one.agent.receipt(), two.agent.receipt())
    assert sorted(r["reason"] for r in receipts) == ["BaseMoved", "Completed"]


def _runs_commits(origin: Origin, branch: str) -> int:
    """Count the pods whose work is on the branch: each left one note."""
    files = origin.server.git(origin.name, "ls-tree", "--name-only", branch).split()
    return len([name for name in files if name.startswith("note-")])
