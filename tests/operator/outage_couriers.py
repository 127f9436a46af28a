"""Many couriers in a process of their own, so that the operator's memory can be told from theirs.

`python -m tests.operator.outage_couriers URL FOLDER NAME...` does what it reads, one command a
line, and answers each with one line: its resident memory in bytes.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.operator.outage import start_courier

from agenttask_courier.inbox import stored
from agenttask_courier.publish import Publisher

DELIVER_SECONDS = 300


def rss() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Couriers:
    """The process, as a test sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, folder: Path, *names: str) -> "Couriers":
        pipe = asyncio.subprocess.PIPE
        argv = (sys.executable, "-m", __spec__.name, url, str(folder), *names)
        return cls(await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe))

    async def ask(self, command: str) -> int:
        """Return the memory that the process has after the command."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\n".encode())
        line = await asyncio.wait_for(self._process.stdout.readline(), DELIVER_SECONDS)
        return int(line.removeprefix(b"rss "))

    async def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()


async def _do(command: str, couriers: list[Publisher], patch: Path) -> None:
    match command.split():
        case ["progress", step]:
            for courier in couriers:
                courier.event("progress", step)
        case ["deliver"]:
            file = (stored("change.patch", patch),)
            await asyncio.gather(*(c.deliver(file, b"{}") for c in couriers))
            await asyncio.gather(*(c.events_sent() for c in couriers))
        case ["sent"]:
            await asyncio.gather(*(c.events_sent() for c in couriers))
        case _:
            raise ValueError(command)


async def main(url: str, folder: Path, names: list[str]) -> None:
    """Do what is asked until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    couriers = [start_courier(url, folder, name) for name in names]
    while command := await asyncio.to_thread(sys.stdin.readline):
        await _do(command, couriers, folder / "change.patch")
        print("rss", rss(), file=answers, flush=True)
    await asyncio.gather(*(c.close() for c in couriers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
