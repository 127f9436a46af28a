"""End everything that a run has started, however it was started.

A process of the task may leave its group and its session. On Linux orphans come to
this process (it is a subreaper while it runs a task); elsewhere they are only found
while their parents live, so the whole tree is listed before the first is killed.
"""

import contextlib
import os
import signal
import time
from collections.abc import Mapping

from agenttask_agent.tools.processtree import processes
from agenttask_agent.tools.system import HERE, System

_ROUNDS = 20
"""Each killed parent may leave more children; a program that forks faster is not foreseen."""


def end_descendants(system: System = HERE) -> int:
    """Kill every descendant of this process and return how many there were."""
    found = 0
    for _ in range(_ROUNDS):
        alive = _below(os.getpid(), living(system))
        if not alive:
            return found
        found += len(alive)
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.01)
    return found


def living(system: System = HERE) -> dict[int, int]:
    """Return the parent of every process that is alive."""
    return {pid: p.parent for pid, p in processes(system).items() if not p.dead}


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
