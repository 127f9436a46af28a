"""Runs programs within bounds: time, output, and nothing left behind.

A program gets its own session and dies whole at its timeout, or when it has ended
and left children behind. Of its output the head and the tail are kept. Where this
process is a subreaper (as `agenttask-agent run` is), children that fled into
sessions of their own are ended too.
"""

import contextlib
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

from agenttask_agent.tools import processtree
from agenttask_agent.tools.memory import Memory
from agenttask_agent.tools.system import HERE, System, ending

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
    cwd: str | Path | int,
    env: Mapping[str, str],
    timeout: float,
    limit: int = 1024 * 1024,
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.STDOUT,
    sink: Callable[[bytes], None] | None = None,
    memory: Memory | None = None,
    popen: "Callable[..., subprocess.Popen[bytes]]" = subprocess.Popen,
    system: System = HERE,
) -> Finished:
    """Run a program to its end; a missing one raises OSError.

    `cwd` may be the descriptor of an open folder. `sink` gets the whole output, `popen`
    starts the program. Where this process is bounded itself, its children are from birth,
    and the slow way round through Python is saved.
    """
    folder, entered = _folder(cwd, system)
    inherited = memory is None and entered is None and is_limited()
    prepare = partial(_prepare, memory.per_process if memory else None, entered)
    others = processtree.children() if processtree.is_subreaper(system) else None
    process = popen(
        list(argv),
        cwd=folder,
        env=dict(env),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=None if inherited else prepare,
    )
    return _wait_for(process, timeout, limit, sink, memory, others, system)


def _folder(cwd: str | Path | int, system: System) -> tuple[str | Path | None, int | None]:
    """Return the path to start in, or the descriptor to enter where no path leads to one."""
    if not isinstance(cwd, int):
        return cwd, None
    return (f"/proc/self/fd/{cwd}", None) if system.proc else (None, cwd)


def _prepare(memory: int | None, folder: int | None) -> None:
    """Run in the child, before its program."""
    if folder is not None:
        os.fchdir(folder)
    limit_resources(memory)


def limit_resources(memory: int | None = None) -> None:
    """Bound this process and all that it starts, for good.

    Not its processes: that limit counts per user and node (`memory` counts them).
    """
    for kind, value in _bounds(memory).items():
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))


def is_limited() -> bool:
    """Say whether this process has these bounds itself, so that its children inherit them."""
    limits = {kind: resource.getrlimit(kind)[1] for kind in _bounds(None)}
    return all(
        limits[kind] != resource.RLIM_INFINITY and limits[kind] <= value
        for kind, value in _bounds(None).items()
    )


def _bounds(memory: int | None) -> dict[int, int]:
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: MAX_FILE_BYTES,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
    }
    return bounds if memory is None else bounds | {resource.RLIMIT_DATA: memory}


def _wait_for(
    process: "subprocess.Popen[bytes]",
    timeout: float,
    limit: int,
    sink: Callable[[bytes], None] | None,
    memory: Memory | None,
    others: frozenset[int] | None,
    system: System,
) -> Finished:
    """Collect the output until the program ends or its time is over.

    Whatever interrupts the wait, nothing of the program is alive afterwards.
    """
    started = time.monotonic()
    captures = {stream: Capture(limit, sink=sink) for stream in _streams(process)}
    try:
        in_time = read_output(process, captures, started + timeout, memory, system)
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


def _streams(process: "subprocess.Popen[bytes]") -> list[IO[bytes]]:
    return [stream for stream in (process.stdout, process.stderr) if stream]


def read_output(
    process: "subprocess.Popen[bytes]",
    captures: dict[IO[bytes], Capture],
    deadline: float,
    memory: Memory | None = None,
    system: System = HERE,
) -> bool:
    """Read until the program has ended, not until its last child closes the pipe.

    Returns whether it ended before the deadline, in seconds of the monotonic clock, and
    before memory ran short.
    """
    with ending(process, system) as ended, selectors.DefaultSelector() as selector:
        for stream in captures:
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        return _read_until(selector, ended, captures, deadline, memory)


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
        processtree.end_strays(others)
