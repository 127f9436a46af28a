"""What this operating system can do beyond POSIX, found out in one place.

The pod is Linux. A local run may be on macOS, which has no /proc, no pidfd and no
subreaper: `HERE` says what there is, and callers take a portable way where it is not.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PS = ("ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "state=")
PS_SECONDS = 10.0
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


@dataclass(frozen=True)
class System:
    """The capabilities that make a difference."""

    pidfd: bool
    """A process's end can be waited for as a file descriptor."""
    subreaper: bool
    """Orphans can be given to a process other than pid 1."""
    proc: bool
    """Processes and open files can be looked at below /proc."""


def find_system() -> System:
    """Look at the running system."""
    return System(
        pidfd=hasattr(os, "pidfd_open"),
        subreaper=sys.platform == "linux",
        proc=(PROC / "self" / "stat").exists(),
    )


HERE = find_system()


@contextlib.contextmanager
def ending(process: "subprocess.Popen[bytes]", system: System = HERE) -> Iterator[int]:
    """Yield a descriptor that becomes readable when the process has ended."""
    descriptor = os.pidfd_open(process.pid) if system.pidfd else _told_by_a_thread(process)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _told_by_a_thread(process: "subprocess.Popen[bytes]") -> int:
    """Return a pipe's end; its other end is closed by a thread that waits for the process."""
    reader, writer = os.pipe()

    def tell() -> None:
        process.wait()
        os.close(writer)

    threading.Thread(target=tell, daemon=True).start()
    return reader


def become_subreaper(system: System = HERE) -> None:
    """Have orphaned grandchildren given to this process, where the system can do that."""
    if system.subreaper:
        _libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def is_subreaper(system: System = HERE) -> bool:
    """Say whether orphaned grandchildren come to this process."""
    if os.getpid() == 1:
        return True
    if not system.subreaper:
        return False
    answer = ctypes.c_int(0)
    _libc().prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return answer.value == 1


def parents(system: System = HERE) -> dict[int, int]:
    """Return every process's parent, zombies included."""
    return {pid: parent for pid, (parent, _) in _processes(system).items()}


def living(system: System = HERE) -> dict[int, int]:
    """Return every living process's parent."""
    return {pid: parent for pid, (parent, dead) in _processes(system).items() if not dead}


def path_of(folder: int, believed: Path, system: System = HERE) -> str:
    """Return the path of an open folder; `believed` is checked where there is no /proc.

    Raises OSError when the believed path is another folder.
    """
    if system.proc:
        return str((PROC / "self" / "fd" / str(folder)).readlink())
    path = believed.resolve()
    if not os.path.samestat(path.stat(), os.fstat(folder)):
        raise OSError(f"{believed} is not the folder that was opened")
    return str(path)


def _processes(system: System) -> dict[int, tuple[int, bool]]:
    return _from_proc() if system.proc else _from_ps()


def _from_proc() -> dict[int, tuple[int, bool]]:
    found: dict[int, tuple[int, bool]] = {}
    for entry in os.scandir(PROC):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                stat = (PROC / entry.name / "stat").read_bytes()
                state, parent = stat[stat.rindex(b")") + 2 :].split()[:2]
                found[int(entry.name)] = (int(parent), state in (b"Z", b"X"))
    return found


def _from_ps() -> dict[int, tuple[int, bool]]:
    """Ask ps as POSIX has it; itself it is left out, being gone by now."""
    with subprocess.Popen(PS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ps:
        listed, _ = ps.communicate(timeout=PS_SECONDS)
    rows = (line.split() for line in listed.decode("ascii", "replace").splitlines())
    found = {int(row[0]): (int(row[1]), row[2][0] == "Z") for row in rows if len(row) == 3}
    found.pop(ps.pid, None)
    return found


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
