"""Read files that hostile code wrote: no link on the way, no device, never more than a cap."""

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True)
class Found:
    """A regular file's content, and when it was last written, in nanoseconds."""

    text: bytes
    written_ns: int


@contextmanager
def opened(root: Path, *parts: str) -> Iterator[int]:
    """Open the folder that the parts lead to from the root; raises OSError."""
    with contextlib.ExitStack() as stack:
        handle = _open_folder(stack, os.fspath(root), None)
        for part in parts:
            handle = _open_folder(stack, part, handle)
        yield handle


def content(name: str, folder: int, max_bytes: int) -> Found | None:
    """Return a regular file's content; None for anything else, and for a larger one."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return Found(file.read(max_bytes), status.st_mtime_ns)


def _open_folder(stack: contextlib.ExitStack, name: str, within: int | None) -> int:
    handle = os.open(name, _FOLDER, dir_fd=within)
    stack.callback(os.close, handle)
    return handle
