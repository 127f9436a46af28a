"""The run's clocks: its deadline and, once the pod is ending, the grace period.

The run's clock starts with the agent's lifeline. The grace period starts when
somebody says that the pod is ending, and ends a margin before the kubelet's kill.
"""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from agenttask_api.report import Timings
from agenttask_api.taskdocument import Clocks

GRACE_MARGIN_SECONDS = 10.0
"""Of the grace period, kept for what comes after judging."""
NEVER = float("inf")


@dataclass
class RunClocks:
    """What time is left, in seconds."""

    clocks: Clocks
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """The pod is ending: hurry."""
    _run_until: float = NEVER
    _grace_until: float = NEVER

    def start_run(self) -> None:
        """Start the run's clock."""
        self._run_until = _time() + self.clocks.run_seconds

    def hurry(self) -> None:
        """Take note that the pod is ending; the grace period runs from the first time."""
        if not self.ending.is_set():
            room = max(1.0, self.clocks.grace_seconds - GRACE_MARGIN_SECONDS)
            self._grace_until = _time() + room
            self.ending.set()

    def run_left(self) -> float:
        """Return what is left of the run; negative when it is over."""
        return self._run_until - _time()

    async def finish(self, task: "asyncio.Task[Any]", seconds: float = NEVER) -> bool:
        """Wait for a task, no longer than so many seconds and the grace period.

        Returns whether it is done; one that is not has been cancelled.
        """
        until = _time() + seconds
        while not task.done() and (left := min(until, self._grace_until) - _time()) > 0:
            waits = [] if self.ending.is_set() else [self.ending.wait()]
            await first_of(_finished(task), *waits, seconds=left)
        if not task.done():
            task.cancel()
            return False
        return True


@dataclass
class Timeline:
    """When what happened, for the report."""

    _began: float | None = None
    _agent_ended: float | None = None

    def begin(self) -> None:
        """Take note that the agent is there."""
        self._began = time.monotonic()

    def agent_ended(self) -> None:
        """Take note that its part is over."""
        self._agent_ended = time.monotonic()

    def timings(self) -> Timings:
        """Return how long the parts took, up to this moment."""
        now = time.monotonic()
        ended = now if self._agent_ended is None else self._agent_ended
        began = ended if self._began is None else self._began
        return Timings(agent_seconds=round(ended - began, 3), judge_seconds=round(now - ended, 3))


async def first_of(*waits: Coroutine[Any, Any, Any], seconds: float = NEVER) -> None:
    """Wait until one of them is done, at most so many seconds."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    limit = None if seconds == NEVER else max(0.0, seconds)
    try:
        await asyncio.wait(tasks, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _finished(task: "asyncio.Task[Any]") -> None:
    await asyncio.wait({task})


def _time() -> float:
    return asyncio.get_running_loop().time()
