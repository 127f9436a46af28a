"""The cgroup of a cluster: where its pods are limited and how its processes are known.

Every process of a cluster is started inside, so whatever is still in there belongs
to the cluster, even when the `create` that started it was killed half way.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import ClusterError

MOUNTS = Path("/proc/self/mounts")


def parse_hierarchies(mounts: str) -> list[Path]:
    """Mount points of all cgroup hierarchies, version 1 and 2."""
    entries = [line.split() for line in mounts.splitlines()]
    return [Path(entry[1]) for entry in entries if entry[2] in {"cgroup", "cgroup2"}]


def find_hierarchies() -> list[Path]:
    hierarchies = parse_hierarchies(MOUNTS.read_text(encoding="utf-8"))
    if not hierarchies:
        raise ClusterError("no cgroup hierarchy is mounted under /sys/fs/cgroup")
    return hierarchies


def choose_tracker(hierarchies: list[Path]) -> Path:
    """The hierarchy whose membership says which cluster a process belongs to."""
    by_name = {hierarchy.name: hierarchy for hierarchy in hierarchies}
    return by_name.get("pids", hierarchies[0])


def create(name: str) -> Path:
    """Make the cgroup in every hierarchy and return the file that takes pids of daemons."""
    hierarchies = find_hierarchies()
    for hierarchy in hierarchies:
        _delegate(hierarchy)
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        _copy_cpuset(hierarchy, group)
        _delegate(group)
    daemons = choose_tracker(hierarchies) / name / "daemons"
    daemons.mkdir(exist_ok=True)
    return daemons / "cgroup.procs"


def read_pids(members: Path) -> list[int]:
    return [int(pid) for pid in members.read_text(encoding="utf-8").split()]


def find_first_process(name: str) -> int | None:
    """The process with pid 1 inside the cluster's pid namespace, by its pid out here."""
    for pid in _pids(name, find_hierarchies()):
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        except OSError:
            continue
        if is_first_process(status):
            return pid
    return None


def is_first_process(status: str) -> bool:
    """Whether a text like /proc/<pid>/status is of the node's; those of pods lie deeper."""
    lines = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
    return any(len(pids) == 2 and pids[1] == "1" for pids in lines)


def remove(name: str, timeout: float = 20) -> None:
    """Kill everything inside and remove the cgroup from every hierarchy."""
    hierarchies = find_hierarchies()
    deadline = time.monotonic() + timeout
    while not _try_remove(name, hierarchies):
        if time.monotonic() > deadline:
            raise ClusterError(
                f"processes in cgroup {name!r} do not end: {list(_pids(name, hierarchies))}"
            )
        time.sleep(0.05)


def _try_remove(name: str, hierarchies: list[Path]) -> bool:
    for pid in set(_pids(name, hierarchies)):
        _kill_member(pid, name)
    for hierarchy in hierarchies:
        for group in _groups(hierarchy / name):
            try:
                group.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True


def _groups(top: Path) -> list[Path]:
    """The group and all below, deepest first."""
    found = [Path(folder) for folder, _, _ in os.walk(top, topdown=False)]
    return found if top.exists() else []


def _pids(name: str, hierarchies: list[Path]) -> Iterator[int]:
    for hierarchy in hierarchies:
        for group in _groups(hierarchy / name):
            try:
                text = (group / "cgroup.procs").read_text()
            except OSError:
                continue
            yield from (int(pid) for pid in text.split())


def _kill_member(pid: int, name: str) -> None:
    """Kill the process if it is still a member now that a pidfd holds on to it."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if is_member(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"), name):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return
    finally:
        os.close(handle)


def is_member(memberships: str, name: str) -> bool:
    """Whether a text like /proc/<pid>/cgroup names this cgroup or one below it."""
    paths = [line.split(":", 2)[2] for line in memberships.splitlines()]
    return any(path == f"/{name}" or path.startswith(f"/{name}/") for path in paths)


def _copy_cpuset(parent: Path, group: Path) -> None:
    """A new group of the version 1 cpuset takes no process before it has CPUs and nodes."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (parent / "cgroup.controllers").exists() or not (group / file).exists():
            continue
        if not (group / file).read_text().strip():
            (group / file).write_text((parent / file).read_text())


def _delegate(group: Path) -> None:
    """Version 2 hands controllers down one by one; one that stays behind is not fatal here."""
    if not (group / "cgroup.controllers").exists():
        return
    for controller in (group / "cgroup.controllers").read_text().split():
        try:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue
