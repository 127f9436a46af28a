"""The processes below this one: who they are, how many, and how all of them are ended.

Where this process is a subreaper (as `agenttask-agent run` is), what loses its parent
is given to it, so that nothing it has started can flee from here.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agenttask_agent.tools.system import HERE, System

PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
ROUNDS = 100
PS = ("ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "state=")
PS_SECONDS = 10.0


@dataclass(frozen=True)
class Process:
    """One process as the kernel shows it."""

    parent: int
    threads: int
    dead: bool = False
    """Ended, and not yet waited for."""


def become_subreaper(system: System = HERE) -> None:
    """Have orphaned grandchildren given to this process, where the system can do that."""
    if not system.prctl:
        return
    _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def is_subreaper(system: System = HERE) -> bool:
    """Say whether orphans below this process become its children."""
    if os.getpid() == 1:
        return True
    if not system.prctl:
        return False
    import ctypes

    answer = ctypes.c_int(0)
    _libc().prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return answer.value == 1


def children() -> frozenset[int]:
    """Return our direct children, zombies included.

    Mostly there are none, which the kernel says at once; only else is /proc read.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()
    us = os.getpid()
    return frozenset(pid for pid, process in processes().items() if process.parent == us)


def processes(system: System = HERE) -> dict[int, Process]:
    """Return every process that can be seen."""
    if not system.proc:
        return _from_ps()
    pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]
    return {pid: found for pid in pids if (found := _process(pid))}


def below(roots: Iterable[int]) -> dict[int, Process]:
    """Return the descendants of some processes, without these themselves."""
    everyone = processes()
    offspring: dict[int, list[int]] = {}
    for pid, process in everyone.items():
        offspring.setdefault(process.parent, []).append(pid)
    found: dict[int, Process] = {}
    pending = [child for root in roots for child in offspring.get(root, ())]
    while pending:
        pid = pending.pop()
        if pid not in found:
            found[pid] = everyone[pid]
            pending += offspring.get(pid, ())
    return found


def tasks_below(pid: int) -> int:
    """Return the number of threads of all descendants: what a limit of pids counts."""
    return sum(process.threads for process in below([pid]).values())


def end_strays(others: frozenset[int]) -> None:
    """End every child but `others`, and all that is below them.

    They are stopped before they are killed: who could go on forking while the others
    die would never be caught up with.
    """
    for _ in range(ROUNDS):
        strays = children() - others
        if not strays:
            return
        _stop(strays)
        for pid in below(strays) | dict.fromkeys(strays):
            _send(pid, signal.SIGKILL)
        for pid in strays:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def kill_below(pid: int) -> None:
    """Kill all descendants of a process, whatever sessions they are in, and not itself."""
    _stop([pid], itself=False)
    for child in below([pid]):
        _send(child, signal.SIGKILL)


def _stop(roots: Iterable[int], *, itself: bool = True) -> None:
    """Stop processes and their descendants until no new ones appear."""
    stopped: set[int] = set()
    for _ in range(ROUNDS):
        new = (set(below(roots)) | (set(roots) if itself else set())) - stopped
        if not new:
            return
        for pid in new:
            _send(pid, signal.SIGSTOP)
        stopped |= new


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _process(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    dead = fields[0] in (b"Z", b"X")
    return Process(parent=int(fields[1]), threads=int(fields[17]), dead=dead)


def _from_ps() -> dict[int, Process]:
    """Ask ps as POSIX has it, which counts no threads; itself it is left out, being gone."""
    with subprocess.Popen(PS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ps:
        listed, _ = ps.communicate(timeout=PS_SECONDS)
    rows = (line.split() for line in listed.decode("ascii", "replace").splitlines())
    found = {int(r[0]): Process(int(r[1]), 1, r[2][0] == "Z") for r in rows if len(r) == 3}
    found.pop(ps.pid, None)
    return found


def _libc() -> Any:
    import ctypes  # Here: to read the catalogue needs none of it.

    return ctypes.CDLL(None, use_errno=True)
