"""Run one setup or verify command: its own process group, a made environment, bounded output.

The commands are the task's, the code they run is the candidate's: nothing of the
container's environment reaches it, and nothing it starts outlives the step.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agenttask_api import names
from agenttask_api.spec import Command, EnvVar
from agenttask_api.verification import StepResult

MAX_STEP_OUTPUT_BYTES = 16 * 1024
_HEAD_BYTES = MAX_STEP_OUTPUT_BYTES * 6 // 10
_TAIL_BYTES = MAX_STEP_OUTPUT_BYTES - _HEAD_BYTES
_DRAIN_SECONDS = 1.0
"""How long output may still come from a pipe that a killed group left behind."""
_RESERVED = frozenset({"PATH", "HOME", "TMPDIR", names.ENV_REPORTS, "PYTEST_ADDOPTS"})


@dataclass
class CappedOutput:
    """Head and tail of an output, never holding more than the cap."""

    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    left_out: int = 0

    def add(self, data: bytes) -> None:
        """Take the next piece."""
        room = _HEAD_BYTES - len(self.head)
        self.head += data[:room] if room > 0 else b""
        self.tail += data[max(room, 0) :]
        surplus = len(self.tail) - _TAIL_BYTES
        if surplus > 0:
            del self.tail[:surplus]
            self.left_out += surplus

    def text(self) -> str:
        """Return what was kept, and how much was not."""
        gap = f"\n... {self.left_out} bytes left out ...\n".encode() if self.left_out else b""
        return (bytes(self.head) + gap + bytes(self.tail)).decode("utf-8", "replace")


def step_environment(
    step: str, reports: Path, env: Sequence[EnvVar], path: str, home: Path, tmp: Path
) -> dict[str, str]:
    """Return the whole environment of a step; the task's own may not change ours."""
    cache = "-p no:cacheprovider"
    own = {v.name: v.value for v in env if not _is_reserved(v.name)}
    return {
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "CI": "true",
        **own,
        "PATH": path,
        "HOME": str(home),
        "TMPDIR": str(tmp),
        names.ENV_REPORTS: str(reports),
        "PYTEST_ADDOPTS": f"--junitxml={reports}/pytest-{step}.xml {cache}",
    }


async def run_step(command: Command, directory: Path, environment: dict[str, str]) -> StepResult:
    """Run one command to its end or its timeout; never raises for what it does."""
    started = time.monotonic()
    output = CappedOutput()
    async with _pipe_into(output) as (sink, drain):
        try:
            process = await asyncio.create_subprocess_exec(
                *command.run,
                cwd=directory,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            said = _not_started(command, error)
            return StepResult(name=command.name, exit_code=None, output=said)
        timed_out = not await _ends(process, command.timeout_seconds)
        await drain()
    return StepResult(
        name=command.name,
        exit_code=None if timed_out else process.returncode,
        timed_out=timed_out,
        duration_seconds=round(time.monotonic() - started, 3),
        output=output.text(),
    )


async def _ends(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Say whether it ended in time; its whole group is dead afterwards in any case."""
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        return False
    else:
        return True
    finally:
        _kill_group(process.pid)
        await process.wait()


@asynccontextmanager
async def _pipe_into(
    output: CappedOutput,
) -> AsyncIterator[tuple[int, Callable[[], Awaitable[None]]]]:
    """Yield a pipe's writing end and a way to wait for the rest of it.

    A pipe of our own: asyncio's stays open as long as any process holds it, and a
    process that left the group may hold it for ever.
    """
    source, sink = os.pipe()
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(source, "rb")
    )
    reader = asyncio.create_task(_read(stream, output))

    async def drain() -> None:
        os.close(sinks.pop())
        await asyncio.wait({reader}, timeout=_DRAIN_SECONDS)

    sinks = [sink]
    try:
        yield sink, drain
    finally:
        reader.cancel()
        transport.close()
        for handle in sinks:
            os.close(handle)


async def _read(stream: asyncio.StreamReader, output: CappedOutput) -> None:
    while data := await stream.read(64 * 1024):
        output.add(data)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: only zombies left
        os.killpg(group, signal.SIGKILL)


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or name.startswith("LD_")


def _not_started(command: Command, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{command.run[0]!r}: no such program in this toolchain's image"
    return f"{command.run[0]!r} could not be started: {error}"
