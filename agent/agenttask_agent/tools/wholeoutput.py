"""The tests' whole output, in one file of a run: a result shows only its head and tail.

Each call adds a section, masked before it is written. The result names the file, the
section's place in it, its size and its sha256; the courier stores the file as an
artifact. The tests run as the same user and could change it: the sha256 would show it.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agenttask_api.masking import Mask, MaskedStream

MAX_SECTION = 8 * 1024 * 1024
"""Bytes of one call's output; the rest of it is left out."""
MAX_BYTES = 32 * 1024 * 1024
"""Bytes of all calls, well below the 50 MiB that a task's artifacts have by default."""
OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class WholeOutput:
    """Where one run's tests write to; nothing that goes wrong here fails a test."""

    path: Path
    mask: Mask
    shown: str
    """The name that results give the file."""
    max_section: int = MAX_SECTION
    max_bytes: int = MAX_BYTES

    @contextlib.contextmanager
    def section(self, title: str) -> Iterator["Section"]:
        """Yield what takes one call's output; the file is complete when it is left."""
        section = Section(self.shown)
        try:
            file = _open(self.path)
        except OSError as error:
            section.problem = f"not kept: {error.strerror}"
            yield section
            return
        try:
            section.offset = os.fstat(file).st_size
            room = min(self.max_section, self.max_bytes - section.offset)
            section.write = _Writer(file, max(0, room), section).write
            stream = MaskedStream(self.mask, section.write)
            stream.feed(f"==> {title}\n".encode("utf-8", "replace"))
            section.feed = stream.feed
            try:
                yield section
            finally:
                stream.close()
        finally:
            os.close(file)


@dataclass
class Section:
    """One call's part of the file."""

    shown: str
    offset: int = 0
    size: int = 0
    problem: str = ""
    """Why it is not all there, empty when it is."""
    feed: Callable[[bytes], None] = lambda _: None
    write: Callable[[bytes], None] = lambda _: None
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def facts(self) -> dict[str, object]:
        """Return what a result says of it."""
        what: dict[str, object] = {"artifact": self.shown, "offset": self.offset}
        what |= {"bytes": self.size, "sha256": self.digest.hexdigest()}
        return what | ({"incomplete": self.problem} if self.problem else {})


@dataclass
class _Writer:
    """Writes while there is room, on the disk and below the bound."""

    file: int
    room: int
    section: Section

    def write(self, content: bytes) -> None:
        if self.section.problem:
            return
        fits = content[: self.room]
        written = self._written(fits)
        self.room -= written
        self.section.size += written
        self.section.digest.update(fits[:written])
        if written == len(fits) < len(content):
            self.section.problem = "the file has its full size"

    def _written(self, content: bytes) -> int:
        written = 0
        try:
            while written < len(content):
                written += os.write(self.file, content[written:])
        except OSError as error:
            self.section.problem = error.strerror or "cannot be written"
        return written


def read_whole(path: Path) -> bytes:
    """Return the file's content; raises OSError for a link, a special or a grown file."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        _check(file)
        return opened.read(MAX_BYTES)


def _open(path: Path) -> int:
    file = os.open(path, OPEN, 0o600)
    try:
        _check(file)
    except OSError:
        os.close(file)
        raise
    return file


def _check(file: int) -> None:
    state = os.fstat(file)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
        raise OSError(0, "it is no plain file any more")
