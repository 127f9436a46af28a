"""SIGTERM as an exception: it ends whatever the run is waiting for, wherever that is."""

import signal
from types import FrameType


class Terminated(BaseException):
    """The pod is being taken down; not an Exception, so that nothing swallows it."""


def raise_on_termination() -> None:
    """Install the handler; as pid 1 a process without one is not even reached."""
    signal.signal(signal.SIGTERM, _terminate)


def ignore_termination() -> None:
    """Let the salvage finish, however often somebody asks."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    ignore_termination()
    raise Terminated
