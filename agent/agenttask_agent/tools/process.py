"""Runs programs within bounds: time, output, and nothing left behind.

A program gets its own session and dies whole at its timeout, or when it has ended
and left children behind. Of its output the head and the tail are kept. Where this
process is a subreaper (as `agenttask-agent run` is), children that fled into
sessions of their own are ended too.
"""

import contextlib
import ctypes
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from agenttask_agent.tools.memory import Memory
from agenttask_agent.tools.refusal import ToolError

PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
MAX_FILE_BYTES = 2 * 1024**3
MAX_OPEN_FILES = 4096
CHUNK = 65536
LOOK = 0.05
"""Seconds between looks at the memory."""


@dataclass(frozen=True)
class Finished:
    """`exit_code` is None when the program was killed at its timeout."""

    exit_code: int | None
    output: bytes
    errors: bytes = b""
    truncated: bool = False
    seconds: float = 0.0
    hungry: bool = False
    """Whether it was killed before it could use up the container's memory."""


@dataclass
class Capture:
    """Keeps the first and the last bytes of a stream, `limit` in all."""

    limit: int
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    dropped: int = 0
    sink: Callable[[bytes], None] | None = None
    """Gets everything, also what is not kept."""

    def add(self, chunk: bytes) -> None:
        if self.sink:
            self.sink(chunk)
        room = self.limit // 2 - len(self.head)
        self.head += chunk[: max(0, room)]
        self.tail += chunk[max(0, room) :]
        surplus = len(self.tail) - self.limit // 2
        if surplus > 0:
            self.dropped += surplus
            del self.tail[:surplus]

    def content(self) -> bytes:
        if not self.dropped:
            return bytes(self.head + self.tail)
        gap = f"\n[... {self.dropped} bytes left out ...]\n".encode()
        return bytes(self.head + gap + self.tail)


def run_program(
    argv: Sequence[str],
    *,
    cwd: str | Path,
    env: Mapping[str, str],
    timeout: float,
    limit: int = 1024 * 1024,
    stdin: int = subprocess.DEVNULL,
    sink: Callable[[bytes], None] | None = None,
    memory: Memory | None = None,
) -> Finished:
    """Run a program, stdout and stderr together; a missing program raises OSError.

    Words that no program can be given raise ToolError.
    """
    check_words(argv)
    bounds = partial(limit_resources, memory.per_process if memory else None)
    others = children_before()
    process = subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=bounds,
    )
    return wait_for(process, timeout, limit, others, sink, memory)


def check_words(argv: Sequence[str]) -> None:
    """Raise ToolError for words that the operating system cannot hand to a program."""
    try:
        if not any(b"\0" in os.fsencode(word) for word in argv):
            return
    except UnicodeEncodeError:
        pass
    raise ToolError("the arguments hold NUL or broken characters, which no program can be given")


def children_before() -> frozenset[int] | None:
    """Return the children that a program about to start cannot have left to us.

    Asked later, it would count what a quick program has left behind already. None where
    this process is no subreaper: nothing of the program can become ours then.
    """
    return _children() if _is_subreaper() else None


def limit_resources(memory: int | None = None) -> None:
    """Bound a child's resources. Not its processes: that limit counts per user and node."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bounds = {resource.RLIMIT_FSIZE: MAX_FILE_BYTES, resource.RLIMIT_NOFILE: MAX_OPEN_FILES}
    if memory is not None:
        bounds[resource.RLIMIT_DATA] = memory
    for kind, value in bounds.items():
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


def wait_for(
    process: "subprocess.Popen[bytes]",
    timeout: float,
    limit: int,
    others: frozenset[int] | None,
    sink: Callable[[bytes], None] | None = None,
    memory: Memory | None = None,
) -> Finished:
    """Collect a started program's output until it ends or its time is over.

    The process must lead its own session. Whatever interrupts the wait, nothing of
    the program is alive afterwards. `others` is what `children_before` said.
    """
    started = time.monotonic()
    captures = {stream: Capture(limit, sink=sink) for stream in _streams(process)}
    try:
        in_time = read_output(process, captures, started + timeout, memory)
    finally:
        _end(process, others)
    content = [capture.content() for capture in captures.values()]
    return Finished(
        exit_code=process.returncode if in_time else None,
        output=content[0] if content else b"",
        errors=content[1] if len(content) > 1 else b"",
        truncated=any(capture.dropped for capture in captures.values()),
        seconds=time.monotonic() - started,
        hungry=memory is not None and memory.exceeded,
    )


def become_subreaper() -> None:
    """Have orphaned grandchildren given to this process instead of to pid 1."""
    _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _streams(process: "subprocess.Popen[bytes]") -> list[IO[bytes]]:
    return [stream for stream in (process.stdout, process.stderr) if stream]


def read_output(
    process: "subprocess.Popen[bytes]",
    captures: dict[IO[bytes], Capture],
    deadline: float,
    memory: Memory | None = None,
) -> bool:
    """Read until the program has ended, not until its last child closes the pipe.

    Returns whether it ended before the deadline, in seconds of the monotonic clock, and
    before memory ran short.
    """
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            for stream in captures:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            return _read_until(selector, ended, captures, deadline, memory)
    finally:
        os.close(ended)


def _read_until(
    selector: selectors.BaseSelector,
    ended: int,
    captures: dict[IO[bytes], Capture],
    deadline: float,
    memory: Memory | None,
) -> bool:
    while (left := deadline - time.monotonic()) > 0:
        ready = [key.fileobj for key, _ in selector.select(min(left, LOOK) if memory else left)]
        if memory and memory.is_short():
            return False
        for stream, capture in captures.items():
            if stream in ready and not _drain(stream, capture):
                selector.unregister(stream)
        if ended in ready:
            for stream, capture in captures.items():
                _drain(stream, capture)
            return True
    return False


def _drain(stream: IO[bytes], capture: Capture) -> bool:
    """Read what is there; False at the end of the stream."""
    for _ in range(64):
        try:
            chunk = os.read(stream.fileno(), CHUNK)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        capture.add(chunk)
    return True


def _end(process: "subprocess.Popen[bytes]", others: frozenset[int] | None) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in _streams(process):
        stream.close()
    if others is not None:
        _end_strays(others)


def _end_strays(others: frozenset[int]) -> None:
    """End what was started since; each killed parent may hand us more children."""
    for _ in range(100):
        strays = _children() - others
        if not strays:
            return
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _children() -> frozenset[int]:
    """Return our direct children, zombies included."""
    us = os.getpid()
    return frozenset(pid for pid in _all_processes() if _parent(pid) == us)


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


def _is_subreaper() -> bool:
    if os.getpid() == 1:
        return True
    answer = ctypes.c_int(0)
    _libc().prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return answer.value == 1


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
