"""`agenttask-courier drain` (preStop): tell the running courier that the pod is ending.

Over a unix socket in the courier's own /tmp: connecting is the message, and the end of
the connection says that the last words are written. Every import here delays the end of
the model's work, so there are few; the other side is in `control`.
"""

import contextlib
import socket
import time
from pathlib import Path

from agenttask_courier.places import Places

DRAIN_SECONDS = 50.0
"""Grace period less 10 s: after the hook the courier still gets its SIGTERM."""


START_SECONDS = 5.0
"""A courier that has just been started gets this long to listen."""
_POLL_SECONDS = 0.05


def drain(
    places: Places, seconds: float = DRAIN_SECONDS, start_seconds: float = START_SECONDS
) -> int:
    """Wait until the courier has written its last words.

    A courier that is still starting is waited for: as process 1 it would not notice a
    SIGTERM that comes before its handler, and would go on as if nothing had happened.
    """
    _wait_until_listening(places.control_socket, start_seconds)
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(seconds)
        connection.connect(str(places.control_socket))
        while connection.recv(64):
            pass
    return 0


def _wait_until_listening(path: Path, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
