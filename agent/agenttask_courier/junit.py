"""Count tests in JUnit XML that hostile code may have written.

Streamed through expat: no document type, no entities, no tree in memory, a cap on
bytes and files, and no link is followed on the way to a file.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from agenttask_api.status import TestCounts
from agenttask_courier.journal import log

MAX_REPORT_BYTES = 5 * 1024 * 1024
MAX_REPORTS = 50
_MARKS = {"failure": "failed", "error": "failed", "skipped": "skipped"}


class BadReport(ValueError):
    """Not a JUnit report that we read."""


@dataclass
class _Counter:
    """expat's handlers; only test cases and their marks matter."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    mark: str = ""

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        if name == "testcase":
            self.mark = "passed"
        elif name in _MARKS and self.mark != "failed":
            self.mark = _MARKS[name]

    def end(self, name: str) -> None:
        if name == "testcase":
            setattr(self, self.mark, getattr(self, self.mark) + 1)
            self.mark = ""

    def counts(self) -> TestCounts:
        return TestCounts(passed=self.passed, failed=self.failed, skipped=self.skipped)


def count_tests(text: bytes) -> TestCounts:
    """Return the counts of one report; raises BadReport."""
    counter = _Counter()
    parser = expat.ParserCreate()
    parser.StartElementHandler = counter.start
    parser.EndElementHandler = counter.end
    parser.StartDoctypeDeclHandler = _forbid
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, AttributeError) as error:
        raise BadReport(str(error)) from error
    return counter.counts()


def read_reports(folder: Path) -> TestCounts | None:
    """Return the sum over all reports of a folder; None when there is no readable one."""
    found = []
    for name, text in _texts(folder):
        try:
            found.append(count_tests(text))
        except BadReport as error:
            log("junit.unreadable", file=name, error=str(error))
    if not found:
        return None
    return TestCounts(
        passed=sum(c.passed for c in found),
        failed=sum(c.failed for c in found),
        skipped=sum(c.skipped for c in found),
    )


def _texts(folder: Path) -> list[tuple[str, bytes]]:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return []
    try:
        names = os.listdir(handle)  # noqa: PTH208 - a path could be swapped for a link.
        reports = sorted(n for n in names if n.endswith(".xml"))[:MAX_REPORTS]
        texts = [(name, _text(name, handle)) for name in reports]
    finally:
        os.close(handle)
    return [(name, text) for name, text in texts if text is not None]


def _text(name: str, folder: int) -> bytes | None:
    """Return a regular file's content; None for anything else, and for a huge one."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_REPORT_BYTES:
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(MAX_REPORT_BYTES)


def _forbid(*_: object) -> None:
    raise BadReport("a document type is not allowed")
