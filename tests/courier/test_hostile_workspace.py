"""What a workspace may hold to trap whoever looks at it: nothing of it runs or leads out."""

import os
import stat
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin, git, write_files
from tests.courier.pod import Pod, running_pod
from tests.courier.test_run import FIX, outcome
from tests.servers.vllm import VLLM

from agenttask_courier.places import Places

BIDI, NEWLINE = "\u202egnp.exe\u2066", "two\nlines"
"""File names that look like others in a terminal and in a log."""


def armed(folder: Path, marker: Path) -> None:
    """Let every program that git starts by configuration leave the marker."""
    program = f"touch {marker}"
    for key in ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process",
                "core.fsmonitor", "diff.evil.textconv", "diff.evil.command", "merge.evil.driver",
                "core.sshCommand", "gpg.program", "core.editor", "core.pager"):  # fmt: skip
        git(folder, "config", key, program)
    hook = Path(git(folder, "rev-parse", "--absolute-git-dir")) / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{program}\n", "utf-8")
    hook.chmod(0o755)
    attributes = "* filter=evil diff=evil merge=evil\n"
    (folder / ".gitattributes").write_text(attributes, encoding="utf-8")


def as_gitlink(pod: Pod, marker: Path) -> None:
    """A repository in a folder, committed as the link that git makes of it."""
    nested = pod.places.repo / "vendor"
    nested.mkdir()
    git(nested, "init", "-q")
    write_files(nested, {"x.txt": "x"})
    git(nested, "add", ".")
    git(nested, "commit", "-qm", "x")
    armed(nested, marker)


def as_submodule(pod: Pod, marker: Path) -> None:
    """The same, with its repository where git keeps those of submodules."""
    as_gitlink(pod, marker)
    nested, kept = pod.places.repo / "vendor", pod.places.repo / ".git" / "modules" / "vendor"
    kept.parent.mkdir(parents=True)
    (nested / ".git").rename(kept)
    (nested / ".git").write_text("gitdir: ../.git/modules/vendor\n", "utf-8")
    git(kept, "config", "core.worktree", "../../../vendor")
    said = '[submodule "vendor"]\n\tpath = vendor\n\turl = ../x\n\tupdate = checkout\n'
    write_files(pod.places.repo, {".gitmodules": said})
    git(pod.places.repo, "config", "submodule.vendor.url", "../x")
    git(pod.places.repo, "config", "submodule.vendor.update", f"!touch {marker}")


@pytest.mark.parametrize("nested", [as_gitlink, as_submodule])
async def test_a_nested_repository_that_is_committed_runs_nothing(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, tmp_path: Path, nested
):
    marker = tmp_path / "owned"
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        nested(pod, marker)
        pod.agent.commit(FIX)
        armed(places.repo, marker)
        marker.unlink(missing_ok=True)
        await pod.agent.hand_in()
        receipt = await pod.agent.receipt()
    assert receipt["reason"] == "PolicyDenied"
    assert "adds submodules: vendor" in receipt["message"]
    assert not marker.exists()
    assert not origin.has("agenttask/fix-add")


@pytest.mark.parametrize("nested", [as_gitlink, as_submodule])
async def test_a_nested_repository_that_is_salvaged_runs_nothing(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, tmp_path: Path, nested
):
    marker = tmp_path / "owned"
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        nested(pod, marker)
        write_files(places.repo, FIX)
        armed(places.repo, marker)
        marker.unlink(missing_ok=True)
        await pod.agent.die()
        await pod.settled()
        assert "return a + b" in pod.patch()
    assert not marker.exists()


async def test_special_files_are_passed_by(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        write_files(places.repo, FIX)
        os.mkfifo(places.repo / "fifo")
        os.mknod(places.repo / "socket", 0o600 | stat.S_IFSOCK)
        if os.getuid() == 0:
            os.mknod(places.repo / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
            os.mknod(places.repo / "disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0))
        (places.repo / "loop").symlink_to("loop")
        await pod.agent.die()
        await pod.settled()
        patch = pod.patch()
    assert "return a + b" in patch
    assert [n for n in ("fifo", "socket", "zero", "disk") if f"b/{n}" in patch] == []


async def test_names_that_deceive_do_not_reach_a_terminal(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    vllm: VLLM,
    capfd: pytest.CaptureFixture[str],
):
    names = {f".github/workflows/{name}.yml": "on: push\n" for name in (BIDI, NEWLINE)}
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit({**FIX, **names})
        await pod.agent.hand_in(message=BIDI)
        receipt = await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "PolicyDenied", "Rejected")
        said = (receipt["message"], pod.digest().message, capfd.readouterr().out)
    assert r"workflows/\u202egnp.exe\u2066.yml" in said[0]
    assert r"workflows/two\nlines.yml" in said[0]
    for text in said:
        assert all(c.isprintable() or c == "\n" for c in text)
    assert "\n" not in said[0] + said[1]
