"""How much memory and how many processes the tests may use: less than the container has.

At its limit of memory the kernel may end every process of a container, the agent too,
and at its limit of processes nothing can be started any more. So each child gets a limit
of memory, and both sums are looked at: what comes near is ended. Without a cgroup's limit
only the machine's memory bounds a single process. Processes are counted here, because
the kernel's own limit for them (RLIMIT_NPROC) counts per user and node, not per pod.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from agenttask_agent.tools import processtree

CGROUP = Path("/sys/fs/cgroup")
SHARE_OF_ONE = 0.8
SHARE_OF_ALL = 0.9
MAX_TASKS = 2000
"""Threads of all that a program has started. Half of what managed clusters allow a pod
(podPidsLimit, 4096 on GKE and OpenShift); the pod's limit cannot be seen from inside."""
MACHINE = Path("/proc/loadavg")


@dataclass
class Memory:
    """Reads the limit once and the use again and again; `root` is a cgroup v2 folder."""

    root: Path = CGROUP
    exceeded: bool = False
    most_tasks: int = MAX_TASKS

    def __post_init__(self) -> None:
        self.limit = _number(self.root / "memory.max")
        self.processes = _number(self.root / "pids.max")

    @property
    def per_process(self) -> int:
        """The bytes that one process may have."""
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return int(min(self.limit or machine, machine) * SHARE_OF_ONE)

    def is_short(self) -> bool:
        """Say whether one of the limits is near, and remember it."""
        full = self.limit and self._used() > self.limit * SHARE_OF_ALL
        self.exceeded = self.exceeded or bool(full) or self._is_crowded()
        return self.exceeded

    def _is_crowded(self) -> bool:
        """Say whether too many threads run: of the container's, or of our own offspring's."""
        running = _number(self.root / "pids.current") or 0
        if self.processes and running > self.processes * SHARE_OF_ALL:
            return True
        # A busy machine is counted through, a quiet one need not be.
        if _tasks_of_machine() <= self.most_tasks:
            return False
        return processtree.tasks_below(os.getpid()) > self.most_tasks

    def _used(self) -> int:
        """Return the bytes in use, without the cache that the kernel can drop."""
        used = _number(self.root / "memory.current") or 0
        try:
            lines = (self.root / "memory.stat").read_text(encoding="ascii").splitlines()
        except OSError:
            return used
        stat = dict(line.split(" ", 1) for line in lines)
        return used - int(stat.get("inactive_file", 0)) - int(stat.get("active_file", 0))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _tasks_of_machine() -> int:
    """Return the threads of the whole machine; where it does not say, more than any limit."""
    try:
        return int(MACHINE.read_text(encoding="ascii").split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return sys.maxsize
