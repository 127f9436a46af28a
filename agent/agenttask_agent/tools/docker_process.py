"""Runs a container engine's client: bounded in time and output.

Not `process.run_program`, which ends whatever a program leaves behind: what podman
leaves behind on purpose is the monitor of a detached container. What a client that
was ended has left running is ended by its caller, through the engine, by name.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from agenttask_agent.tools import processtree
from agenttask_agent.tools.process import Capture, Finished, limit_resources, read_output

MAX_OUTPUT = 1024 * 1024
GRACE_SECONDS = 10.0


def run_client(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    cwd: str | Path = "/",
    stdin: IO[bytes] | None = None,
    limit: int = MAX_OUTPUT,
    tidy: bool = False,
) -> Finished:
    """Run a client, stdout and stderr together; a missing program raises OSError.

    With `tidy` a client that is late loses what it has started first, as a build loses
    the program of its RUN, and gets a moment to clean up after that itself.
    """
    process = subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=limit_resources,
    )
    started = time.monotonic()
    output = Capture(limit)
    try:
        in_time = _follow(process, output, started + timeout)
    finally:
        _end(process, output, tidy)
    return Finished(
        exit_code=process.returncode if in_time else None,
        output=output.content(),
        truncated=bool(output.dropped),
        seconds=time.monotonic() - started,
    )


def _follow(process: "subprocess.Popen[bytes]", output: Capture, deadline: float) -> bool:
    assert process.stdout
    return read_output(process, {process.stdout: output}, deadline)


def _end(process: "subprocess.Popen[bytes]", output: Capture, tidy: bool) -> None:
    assert process.stdout
    if tidy and process.poll() is None:
        processtree.kill_below(process.pid)
        _follow(process, output, time.monotonic() + GRACE_SECONDS)
        processtree.kill_below(process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
