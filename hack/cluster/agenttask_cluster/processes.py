"""Processes that this tool started, told apart from strangers with the same pid.

A pid alone names whoever has it now. A process here is a pid, its start time and
the boot it belongs to, and it is signalled through a pidfd that was compared first.
"""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError


@dataclass(frozen=True)
class Process:
    """A process that keeps its identity when its pid is given to another."""

    pid: int
    started: int
    boot: str


def read_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def identify(pid: int) -> Process | None:
    """The running process with this pid; none when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in parentheses and may hold anything.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else Process(pid, int(fields[18]), read_boot())


def is_alive(process: Process) -> bool:
    return identify(process.pid) == process


def runs(process: Process, binary: Path) -> bool:
    """Whether the process runs this program file."""
    try:
        return Path(f"/proc/{process.pid}/exe").readlink() == binary
    except OSError:
        return False


def kill(process: Process, number: signal.Signals = signal.SIGKILL) -> bool:
    """Signal exactly this process; false when it is gone or its pid is another's."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def run(*command: str, text: str | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return its output; its failure is an error with its words."""
    try:
        result = subprocess.run(command, input=text, env=env, capture_output=True, text=True)
    except FileNotFoundError:
        raise ClusterError(f"{command[0]}: command not found") from None
    if result.returncode != 0:
        words = (result.stderr or result.stdout).strip()
        raise ClusterError(
            f"command {' '.join(command)!r} failed with {result.returncode}: {words}"
        )
    return result.stdout


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0
