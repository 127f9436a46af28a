"""End everything that a run has started, however it was started.

A process of the task may leave its group and its session. On Linux orphans come to
this process (it is a subreaper while it runs a task); elsewhere they are only found
while their parents live, so the whole tree is listed before the first is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from agenttask_agent.tools.process import become_subreaper

_PROC = Path("/proc")
_ROUNDS = 20
"""Each killed parent may leave more children; a program that forks faster is not foreseen."""
_PS_SECONDS = 10.0


def adopt_orphans() -> None:
    """Have orphaned descendants given to this process, where the system can do that."""
    if sys.platform == "linux":
        become_subreaper()


def end_descendants(proc: Path = _PROC) -> int:
    """Kill every descendant of this process and return how many there were."""
    found = 0
    for _ in range(_ROUNDS):
        alive = _below(os.getpid(), parents(proc))
        if not alive:
            return found
        found += len(alive)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.01)
    return found


def parents(proc: Path = _PROC) -> dict[int, int]:
    """Return the parent of every living process; zombies are left out."""
    return _from_proc(proc) if (proc / "self" / "stat").exists() else _from_ps()


def _from_proc(proc: Path) -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in proc.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_bytes()
                state, parent = stat[stat.rindex(b")") + 2 :].split()[:2]
                if state not in (b"Z", b"X"):
                    found[int(entry.name)] = int(parent)
    return found


def _from_ps() -> dict[int, int]:
    """Ask ps as POSIX has it; itself it is left out, being gone by now."""
    argv = ["ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "state="]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ps:
        listed, _ = ps.communicate(timeout=_PS_SECONDS)
    rows = (line.split() for line in listed.decode("ascii", "replace").splitlines())
    alive = (row for row in rows if len(row) == 3 and not row[2].startswith("Z"))
    return {int(pid): int(parent) for pid, parent, _ in alive if int(pid) != ps.pid}


def _below(root: int, parents_: Mapping[int, int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in parents_.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(new)
        waiting += new
    return found


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
