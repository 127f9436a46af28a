"""The portable ways, taken on Linux by saying that its own are not there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agenttask_agent.tools.process import Finished, wait_for
from agenttask_agent.tools.system import (
    HERE,
    System,
    become_subreaper,
    is_subreaper,
    living,
    parents,
    path_of,
)

BARE = System(pidfd=False, subreaper=False, proc=False)
"""A POSIX system, such as macOS."""
EACH = pytest.mark.parametrize("system", [HERE, BARE], ids=["here", "bare"])


def run(system: System, script: str, timeout: float = 20.0) -> Finished:
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    return wait_for(process, timeout, 10_000, system=system)


@EACH
def test_a_program_is_waited_for_with_all_of_its_output(system: System):
    finished = run(system, "print('x' * 3000); raise SystemExit(3)")
    assert finished.exit_code == 3
    assert finished.output == b"x" * 3000 + b"\n"


@EACH
def test_a_program_is_killed_at_its_timeout(system: System):
    finished = run(system, "import time; print('begun', flush=True); time.sleep(60)", 1.0)
    assert finished.exit_code is None
    assert finished.output == b"begun\n"


@EACH
def test_a_child_that_holds_the_pipe_is_not_waited_for(system: System):
    script = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    finished = run(system, script)
    assert finished.exit_code == 0
    child = int(finished.output)
    end = time.monotonic() + 10
    while child in living():
        assert time.monotonic() < end, "the child of an ended program lives on"
        time.sleep(0.02)


def test_no_descriptor_is_left_open():
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(5):
        run(BARE, "pass")
    end = time.monotonic() + 10
    while len(list(Path("/dev/fd").iterdir())) != before:
        assert time.monotonic() < end, "a descriptor is left open"
        time.sleep(0.02)


@EACH
def test_processes_are_listed_with_their_parents(system: System):
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert parents(system)[child.pid] == os.getpid()
            assert living(system)[child.pid] == os.getpid()
            assert living(system)[os.getpid()] == os.getppid()
        finally:
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert child.pid in parents(system)
            assert child.pid not in living(system)


@EACH
def test_an_open_folder_has_a_path(system: System, tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    folder = os.open(tmp_path / "real", os.O_RDONLY)
    try:
        assert path_of(folder, tmp_path / "link", system) == str(tmp_path / "real")
    finally:
        os.close(folder)


def test_without_proc_a_folder_that_was_swapped_is_noticed(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    folder = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="not the folder that was opened"):
            path_of(folder, tmp_path / "b", BARE)
    finally:
        os.close(folder)


def test_a_system_without_subreapers_is_not_asked_for_one():
    become_subreaper(BARE)
    assert is_subreaper(BARE) is False
