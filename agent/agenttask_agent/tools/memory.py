"""How much memory the tests may use: less than the container has.

At its limit the kernel may end every process of a container, the agent too. So each
child gets a limit of its own, and the sum is looked at: what comes near is ended.
Without a cgroup's limit only the machine's memory bounds a single process.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
SHARE_OF_ONE = 0.8
SHARE_OF_ALL = 0.9


@dataclass
class Memory:
    """Reads the limit once and the use again and again; `root` is a cgroup v2 folder."""

    root: Path = CGROUP
    exceeded: bool = False

    def __post_init__(self) -> None:
        self.limit = _number(self.root / "memory.max")
        self.processes = _number(self.root / "pids.max")

    @property
    def per_process(self) -> int:
        """The bytes that one process may have."""
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return int(min(self.limit or machine, machine) * SHARE_OF_ONE)

    def is_short(self) -> bool:
        """Say whether the container is near one of its limits, and remember it."""
        full = self.limit and self._used() > self.limit * SHARE_OF_ALL
        running = _number(self.root / "pids.current") or 0
        crowded = self.processes and running > self.processes * SHARE_OF_ALL
        self.exceeded = self.exceeded or bool(full or crowded)
        return self.exceeded

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
