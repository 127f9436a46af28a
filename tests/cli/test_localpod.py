"""The run's folder: private, short enough for sockets, and gone afterwards."""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agenttask_cli.localpod import MAX_SOCKET_PATH, local_pod, remove, sweep
from agenttask_cli.logfile import LossyLog, logging_to


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_the_users_alone_and_removed(parent: Path):
    with local_pod(keep=False) as pod:
        assert pod.root.stat().st_mode & 0o077 == 0
        assert pod.courier.tmp != pod.verifier.tmp != pod.agent.tmp
        assert pod.courier.door_socket == pod.agent.door_socket
        assert len(os.fsencode(pod.courier.verifier_socket)) <= MAX_SOCKET_PATH
    assert not pod.root.exists()


def test_a_long_temporary_folder_gives_way_to_a_short_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with local_pod(keep=False) as pod:
        assert long not in pod.root.parents
        assert len(os.fsencode(pod.courier.verifier_socket)) <= MAX_SOCKET_PATH


def test_only_folders_of_dead_runs_are_swept(parent: Path):
    with local_pod(keep=False) as running:
        with local_pod(keep=True) as kept:
            pass
        dead = parent / "agenttask-run-dead"
        dead.mkdir()
        (dead / "lock").touch()
        other = parent / "agenttask-run-unlocked"
        other.mkdir()
        sweep(parent)
        assert running.root.exists()
        assert kept.root.exists()
        assert not dead.exists()
        assert other.exists()
    remove(kept.root)


def test_a_link_in_place_of_the_lock_is_not_followed(parent: Path, tmp_path: Path):
    target = tmp_path / "precious"
    target.touch()
    folder = parent / "agenttask-run-trap"
    folder.mkdir()
    (folder / "lock").symlink_to(target)
    sweep(parent)
    assert folder.exists()
    with target.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_folders_without_permissions_are_removed_too(tmp_path: Path):
    locked = tmp_path / "run" / "locked" / "deeper"
    locked.mkdir(parents=True)
    locked.parent.chmod(0)
    remove(tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Full:
    """A file on a disk without room."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_log_without_room_loses_lines_and_nothing_else():
    log = LossyLog(Full())  # type: ignore[arg-type]
    assert log.write("lost\n") == 5
    assert log.lost == 1


def test_what_is_printed_goes_to_the_log(tmp_path: Path):
    with logging_to(tmp_path / "log"):
        sys.stdout.write("kept\n")
    assert (tmp_path / "log").read_text("utf-8") == "kept\n"


SCRIPT = """
import subprocess, sys
from agenttask_agent.tools.processtree import become_subreaper
from agenttask_agent.tools.system import HERE, System
from agenttask_cli.processes import end_descendants, living
system = HERE if sys.argv[1] == "here" else System(False, False, False)
become_subreaper(system)
child = "import subprocess as s; s.Popen(['sleep', '60'], start_new_session=True).wait()"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
import os, time
def below():
    tree = living(system)
    kids = [p for p, q in tree.items() if q == os.getpid()]
    return kids + [p for p, q in tree.items() if q in kids]
end = time.monotonic() + 20
while len(below()) < 2:
    assert time.monotonic() < end
    time.sleep(0.05)
family = below()
assert end_descendants(system) >= 2
assert not [p for p in family if p in living(system)], "somebody lives on"
print("all gone")
"""


@pytest.mark.parametrize("system", ["here", "bare"])
def test_descendants_in_sessions_of_their_own_are_ended(system: str):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, system],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "all gone\n", done.stderr


def test_without_descendants_there_is_nothing_to_end():
    code = "from agenttask_cli.processes import end_descendants; print(end_descendants())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
