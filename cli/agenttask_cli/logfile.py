"""The courier's log in a file of its own: in a pod its lines go to stdout.

A line that finds no room is dropped: a full disk must end in a reason, not in a
courier that died of its own log.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class LossyLog(io.TextIOBase):
    """Writes what can be written."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.lost = 0

    def write(self, text: str) -> int:
        """Take the text; returns its length, as if it always fitted."""
        try:
            self._file.write(text)
            self._file.flush()
        except OSError:
            self.lost += 1
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send what is printed to the file while the block runs."""
    with contextlib.ExitStack() as stack:
        file = path.open("w", encoding="utf-8", errors="replace", buffering=1)
        stack.callback(_close, file)
        with contextlib.redirect_stdout(LossyLog(file)):
            yield


def _close(file: IO[str]) -> None:
    with contextlib.suppress(OSError):
        file.close()
