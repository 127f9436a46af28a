"""Runs a container engine's client: bounded in time and output.

Not `process.run_program`, which ends whatever a program leaves behind: what podman
leaves behind on purpose is the monitor of a detached container. What a client that
was ended has left running is ended by its caller, through the engine, by name.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from agenttask_agent.tools.process import Capture, Finished, limit_resources

MAX_OUTPUT = 1024 * 1024
GRACE_SECONDS = 3.0
CHUNK = 65536


def run_client(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    cwd: str | Path = "/",
    stdin: IO[bytes] | None = None,
    limit: int = MAX_OUTPUT,
) -> Finished:
    """Run a client, stdout and stderr together; a missing program raises OSError."""
    process = subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=limit_resources,  # noqa: PLW1509 - this process has no second thread
    )
    started = time.monotonic()
    output = Capture(limit)
    try:
        in_time = _follow(process, output, started + timeout)
    finally:
        _end(process, output)
    return Finished(
        exit_code=process.returncode if in_time else None,
        output=output.content(),
        truncated=bool(output.dropped),
        seconds=time.monotonic() - started,
    )


def _follow(process: "subprocess.Popen[bytes]", output: Capture, deadline: float) -> bool:
    """Read until the client has ended, not until its last child closes the pipe."""
    assert process.stdout
    os.set_blocking(process.stdout.fileno(), False)
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            return _read_until(selector, ended, process.stdout, output, deadline)
    finally:
        os.close(ended)


def _read_until(
    selector: selectors.BaseSelector,
    ended: int,
    stream: IO[bytes],
    output: Capture,
    deadline: float,
) -> bool:
    while (left := deadline - time.monotonic()) > 0:
        ready = [key.fileobj for key, _ in selector.select(left)]
        if stream in ready and not _drain(stream, output):
            selector.unregister(stream)
        if ended in ready:
            _drain(stream, output)
            return True
    return False


def _drain(stream: IO[bytes], output: Capture) -> bool:
    """Read what is there; False at the end of the stream."""
    for _ in range(64):
        try:
            chunk = os.read(stream.fileno(), CHUNK)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        output.add(chunk)
    return True


def _end(process: "subprocess.Popen[bytes]", output: Capture) -> None:
    """Let a client that is late tidy up for a moment, then end it."""
    assert process.stdout
    if process.poll() is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _follow(process, output, time.monotonic() + GRACE_SECONDS)
    _signal(process, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
