"""Read tests from JUnit XML that hostile code may have written: how many, and which.

Streamed through expat: no document type, no entities, no tree in memory, a cap on
bytes and files, and no link is followed on the way to a file.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from agenttask_api.status import TestCounts
from agenttask_courier.coverage import PLACES as COVERAGE_PLACES
from agenttask_courier.hostilefiles import content, opened
from agenttask_courier.journal import log

MAX_REPORT_BYTES = 5 * 1024 * 1024
MAX_REPORTS = 50
MAX_NAMES = 10_000
MAX_NAME_CHARACTERS = 300
_KINDS = ("passed", "failed", "skipped")
_MARKS = {"failure": "failed", "error": "failed", "skipped": "skipped"}


class BadReport(ValueError):
    """Not a JUnit report that we read."""


@dataclass(frozen=True)
class Cases:
    """The tests of one step."""

    counts: TestCounts
    passed: frozenset[str]
    failed: frozenset[str]
    """Also those that failed once and passed once."""
    whole: bool = True
    """Every test has its name here; not so beyond MAX_NAMES."""


@dataclass
class _Reader:
    """expat's handlers; only test cases and their marks matter."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_KINDS, 0))
    names: dict[str, set[str]] = field(default_factory=lambda: {k: set() for k in _KINDS})
    name: str = ""
    mark: str = ""

    def start(self, element: str, attributes: dict[str, str]) -> None:
        if element == "testcase":
            said = f"{attributes.get('classname', '')}::{attributes.get('name', '')}"
            self.name, self.mark = said[:MAX_NAME_CHARACTERS], "passed"
        elif element in _MARKS and self.mark != "failed":
            self.mark = _MARKS[element]

    def end(self, element: str) -> None:
        if element != "testcase" or not self.mark:
            return
        self.counts[self.mark] += 1
        if sum(len(names) for names in self.names.values()) <= MAX_NAMES:
            self.names[self.mark].add(self.name)
        self.mark = ""

    def cases(self) -> Cases:
        failed = frozenset(self.names["failed"])
        whole = sum(len(names) for names in self.names.values()) <= MAX_NAMES
        counts = TestCounts(**self.counts)
        return Cases(counts, frozenset(self.names["passed"]) - failed, failed, whole)


def read_report(text: bytes, reader: _Reader) -> None:
    """Add the cases of one report; raises BadReport, what was read before it is kept."""
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = _forbid
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise BadReport(str(error)) from error


def read_reports(reports: Path, step: str) -> Cases | None:
    """Return the tests in all reports of a step's folder; None when there is no readable one."""
    reader, readable = _Reader(), 0
    for name, text in _texts(reports, step):
        try:
            read_report(text, reader)
            readable += 1
        except BadReport as error:
            log("junit.unreadable", file=name, error=str(error))
    return reader.cases() if readable else None


def _texts(reports: Path, step: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every report; a link on the way leads nowhere."""
    try:
        with opened(reports, step) as folder:
            names = os.listdir(folder)  # noqa: PTH208 - a path could be swapped for a link.
            for name in sorted(n for n in names if _may_hold_tests(n))[:MAX_REPORTS]:
                if found := content(name, folder, MAX_REPORT_BYTES):
                    yield name, found.text
    except OSError:
        return


def _may_hold_tests(name: str) -> bool:
    return name.endswith(".xml") and name not in COVERAGE_PLACES


def _forbid(*_: object) -> None:
    raise BadReport("a document type is not allowed")
