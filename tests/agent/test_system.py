"""The portable ways, taken on Linux by saying that its own are not there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agenttask_agent.tools.process import Finished, run_program
from agenttask_agent.tools.processtree import become_subreaper, is_subreaper, processes
from agenttask_agent.tools.system import HERE, System, path_of

BARE = System(pidfd=False, subreaper=False, proc=False)
"""A POSIX system, such as macOS."""
EACH = pytest.mark.parametrize("system", [HERE, BARE], ids=["here", "bare"])


def run(system: System, script: str, timeout: float = 20.0) -> Finished:
    return run_program(
        [sys.executable, "-c", script], cwd="/", env=os.environ, timeout=timeout, system=system
    )


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
    while child in processes() and not processes()[child].dead:
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
            found = processes(system)
            assert (found[child.pid].parent, found[child.pid].dead) == (os.getpid(), False)
            assert found[os.getpid()].parent == os.getppid()
        finally:
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert processes(system)[child.pid].dead


@EACH
def test_a_program_starts_in_an_open_folder(system: System, tmp_path: Path):
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        argv = [sys.executable, "-c", "import os; print(os.getcwd())"]
        done = run_program(argv, cwd=folder, env=os.environ, timeout=20, system=system)
    finally:
        os.close(folder)
    assert done.output.decode() == f"{tmp_path}\n"


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
