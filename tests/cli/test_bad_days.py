"""What goes wrong on a user's machine: each ends with a reason, and nothing stays behind."""

import json
import os
import signal
import subprocess

import pytest
from tests.cli.conftest import (
    PYTEST,
    Desk,
    Done,
    are_gone,
    descendants,
    done,
    eventually,
    interrupt,
    read_until,
)

SLOW = "take your time"
SLEEP = {"name": "sleep", "run": ["sleep", "300"]}


def result_of(finished: Done) -> dict[str, object]:
    """Return the document that --json printed."""
    return dict(json.loads(finished.out))


def test_an_unreachable_model_is_a_model_error(desk: Desk):
    desk.model_url = "http://127.0.0.1:1"
    ended = desk.run(desk.task(), "--json")
    assert ended.code == 1
    assert result_of(ended)["stop_reason"] == "ModelError"
    assert "is the server up" in ended.err
    assert desk.left_behind() == []


def test_without_a_name_an_unreachable_model_is_told_before_anything_is_done(desk: Desk):
    ended = done(desk.start("run", "-f", desk.task(), "--model-url", "http://127.0.0.1:1"))
    assert ended.code == 2
    assert "is the server up? Or give --model-name" in ended.err
    assert not (desk.here / "agenttask-out").exists()


def test_a_missing_revision_is_named(desk: Desk):
    repo = {"url": "https://git.example/team/hello.git", "revision": "nowhere"}
    ended = desk.run(desk.task(repo=repo), "--json")
    assert (ended.code, result_of(ended)["stop_reason"]) == (1, "CloneRevisionNotFound")
    assert "'nowhere'" in ended.err
    assert desk.left_behind() == []


def test_a_missing_repository_fails_the_clone(desk: Desk):
    desk.remote.rename(desk.remote.with_name("moved.git"))
    ended = desk.run(desk.task(), "--json")
    assert (ended.code, result_of(ended)["stop_reason"]) == (1, "CloneFailed")
    assert desk.left_behind() == []


def test_an_agent_killed_in_mid_work_leaves_its_work_as_a_patch(desk: Desk):
    process = desk.start_run(desk.task(SLOW))
    read_until(process, "files.write_file succeeded")
    family = descendants(process.pid)
    agent = next(pid for pid, line in family.items() if "agenttask_agent run" in line)
    os.kill(agent, signal.SIGKILL)
    ended = done(process)
    assert ended.code == 1
    assert "Failed: NoResult" in ended.out
    patch = desk.here / "agenttask-out" / "greet" / "change.patch"
    assert "half done" in patch.read_text("utf-8")
    assert desk.left_behind() == []


def test_a_killed_run_ends_its_agent_and_the_next_one_removes_its_folder(desk: Desk):
    process = desk.start_run(desk.task(SLOW))
    read_until(process, "files.write_file succeeded")
    family = list(descendants(process.pid))
    process.kill()
    done(process)
    eventually(lambda: are_gone(family), "the agent to notice that its door is gone")
    assert len(desk.left_behind()) == 1
    assert desk.run(desk.task("change nothing")).code == 1
    assert desk.left_behind() == []


def test_ctrl_c_while_fetching(desk: Desk):
    repo = {"url": "ssh://git@git.example/team/hello.git"}
    desk.environ["GIT_SSH_COMMAND"] = "sleep 300; true"
    process = desk.start_run(desk.task(repo=repo), "--json")
    assert process.stderr is not None
    while "Fetching" not in process.stderr.readline():
        pass
    family = eventually(
        lambda: (
            {p: c for p, c in descendants(process.pid).items() if c.startswith("sleep")} or None
        ),
        "git to wait for ssh",
    )
    interrupt(process)
    ended = done(process)
    assert (ended.code, result_of(ended)["stop_reason"]) == (130, "Cancelled")
    assert are_gone(list(family))
    assert desk.left_behind() == []


def test_ctrl_c_while_the_agent_works_keeps_what_there_is(desk: Desk):
    process = desk.start_run(desk.task(SLOW))
    read_until(process, "files.write_file succeeded")
    family = list(descendants(process.pid))
    interrupt(process)
    ended = done(process)
    assert ended.code == 130, ended
    assert "\nCancelled\n" in ended.out
    folder = desk.here / "agenttask-out" / "greet"
    assert "half done" in (folder / "change.patch").read_text("utf-8")
    result = json.loads((folder / "result.json").read_text("utf-8"))
    assert (result["success"], result["stop_reason"]) == (False, "Cancelled")
    assert [o["operation"] for o in result["operations"]] == ["files.write_file"]
    assert are_gone(family)
    assert desk.left_behind() == []


def test_ctrl_c_while_verifying(desk: Desk):
    process = desk.start_run(desk.task(verify=[SLEEP]))
    read_until(process, "Verifying")
    family = eventually(
        lambda: [p for p, c in descendants(process.pid).items() if c.startswith("sleep")],
        "the verify step to run",
    )
    interrupt(process)
    ended = done(process)
    assert ended.code == 130, ended
    assert "\nCancelled\n" in ended.out
    assert are_gone(family)
    assert desk.left_behind() == []


def test_a_second_ctrl_c_ends_everything_at_once(desk: Desk):
    """The repository's own test does not let the agent go; the second one does not ask it."""
    process = desk.start_run(desk.task(SLOW))
    read_until(process, "files.write_file succeeded")
    family = descendants(process.pid)
    agent = next(pid for pid, line in family.items() if "agenttask_agent run" in line)
    os.kill(agent, signal.SIGSTOP)
    interrupt(process)
    read_until(process, "Cancelling")
    interrupt(process)
    ended = done(process)
    assert ended.code == 130, ended
    assert are_gone(list(family))
    assert desk.left_behind() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_is_said_to_be_one(desk: Desk):
    argv = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(desk.tmp)]
    subprocess.run(argv, check=True)
    try:
        ended = desk.run(desk.task(verify=[PYTEST]), "--json")
    finally:
        subprocess.run(["umount", str(desk.tmp)], check=True)
    assert ended.code == 1, ended
    assert result_of(ended)["stop_reason"] == "WorkspaceFull"
    assert "TMPDIR" in ended.err
