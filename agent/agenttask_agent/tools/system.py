"""What this operating system can do beyond POSIX, found out in one place.

The pod is Linux. A local run may be on macOS, which has no /proc, no pidfd and no
subreaper: `HERE` says what there is, and callers take a portable way where it is not.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


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
