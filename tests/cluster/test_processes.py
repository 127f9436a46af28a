import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agenttask_cluster.errors import ClusterError
from agenttask_cluster.processes import Process, identify, is_alive, kill, run


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that runs until it is killed."""
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield child
    child.kill()
    child.wait()


def known(child: "subprocess.Popen[bytes]") -> Process:
    process = identify(child.pid)
    assert process is not None
    return process


def test_process_is_alive_while_it_runs(sleeper):
    assert is_alive(known(sleeper))


def test_process_is_killed(sleeper):
    assert kill(known(sleeper))
    assert sleeper.wait() == -signal.SIGKILL


def test_process_is_not_alive_when_it_ended(sleeper):
    process = known(sleeper)
    sleeper.kill()
    sleeper.wait()
    assert not is_alive(process)
    assert not kill(process)


def test_zombie_counts_as_ended(sleeper):
    process = known(sleeper)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process)


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}])
def test_stranger_with_the_same_pid_is_never_killed(sleeper, change):
    recycled = replace(known(sleeper), **change)
    assert not kill(recycled)
    assert sleeper.poll() is None


def test_process_is_identified_when_its_name_holds_spaces_and_parentheses(tmp_path):
    program = tmp_path / "a ) b (c"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        assert is_alive(known(child))
        child.kill()


def test_failed_command_is_named_with_its_words():
    with pytest.raises(ClusterError, match="'sh -c echo no >&2; exit 3' failed with 3: no"):
        run("sh", "-c", "echo no >&2; exit 3")


def test_missing_command_is_named():
    with pytest.raises(ClusterError, match="no-such-command: command not found"):
        run("no-such-command")
