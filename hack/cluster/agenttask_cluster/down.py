"""Take a cluster down and leave nothing: processes, mounts, links, rules, cgroups, files."""

import os
import shutil
import time

from . import cgroups, network, records
from .binaries import locked
from .errors import ClusterError
from .layout import STATE, Layout
from .processes import Process, identify, is_alive, kill


def delete(name: str) -> None:
    if not (STATE / name).exists():
        return
    if os.geteuid() != 0:
        raise ClusterError("deleting a cluster needs root: use sudo")
    with locked(STATE / f".{name}.lock"):
        remove(name)


def remove(name: str) -> None:
    """Remove whatever there is of a cluster, whole, half made, or from before a reboot."""
    record = records.read(name)
    place = Layout(name, record.number if record else 0)
    _stop(place, record.node if record else None)
    cgroups.remove(place.cgroup)
    network.disconnect(place)
    _remove_files(place)


def _stop(place: Layout, keeper: Process | None) -> None:
    """End the node's first process: the kernel ends the others, and its parent sees them off."""
    first = cgroups.find_first_process(place.cgroup)
    process = identify(first) if first else None
    if process:
        kill(process)
    deadline = time.monotonic() + 5
    while keeper and is_alive(keeper) and process and time.monotonic() < deadline:
        time.sleep(0.02)


def _remove_files(place: Layout) -> None:
    """The kernel gives up a dead node's mounts a moment after its last process."""
    deadline = time.monotonic() + 10
    while place.root.exists():
        shutil.rmtree(place.root, ignore_errors=time.monotonic() < deadline)
        time.sleep(0.02)
