"""Read how much of the code the project's own tests covered, where they say so.

Cobertura's XML, the JSON of coverage.py, or lcov, as the project's tool leaves them. Nothing
is run or installed for it, and what is read is a claim of the code that was tested.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from xml.parsers import expat

from agenttask_courier.hostilefiles import Found, content, opened
from agenttask_courier.journal import log

MAX_COVERAGE_BYTES = 16 * 1024 * 1024
MAX_JSON_BYTES = 4 * 1024 * 1024
"""Parsed, it takes many times that memory."""
PLACES = (
    "coverage.xml",
    "cobertura.xml",
    "coverage.json",
    "lcov.info",
    "coverage/cobertura-coverage.xml",
    "coverage/lcov.info",
)
"""Where the tools write by default, from the folder that they run in."""


class BadCoverage(ValueError):
    """Not a coverage result that we read."""


def stamps(directory: Path) -> Mapping[str, int]:
    """Return when the results that are there already were written: they are no results."""
    found = ((place, _read(directory, place)) for place in PLACES)
    return {place: file.written_ns for place, file in found if file}


def measured(
    directory: Path, reports: Path, steps: Iterable[str], before: Mapping[str, int]
) -> float | None:
    """Return the percentage of covered lines that the first readable result tells."""
    for place, text in _results(directory, reports, steps, before):
        try:
            return percentage(place, text)
        except (BadCoverage, RecursionError) as error:
            log("coverage.unreadable", file=place, error=str(error)[:200])
    return None


def percentage(name: str, text: bytes) -> float:
    """Return what a result says, 0 to 100; raises BadCoverage."""
    kinds = {".xml": _of_cobertura, ".json": _of_json, ".info": _of_lcov}
    found = kinds[Path(name).suffix](text)
    if not (math.isfinite(found) and 0 <= found <= 100):
        raise BadCoverage("no percentage from 0 to 100")
    return round(found, 1)


def _results(
    directory: Path, reports: Path, steps: Iterable[str], before: Mapping[str, int]
) -> Iterator[tuple[str, bytes]]:
    """Yield the steps' own results, then those in the checkout that are new."""
    for step in steps:
        for place in PLACES:
            if file := _read(reports, f"{step}/{place}"):
                yield place, file.text
    for place in PLACES:
        file = _read(directory, place)
        if file and file.written_ns != before.get(place):
            yield place, file.text


def _read(root: Path, place: str) -> Found | None:
    *folders, name = place.split("/")
    try:
        with opened(root, *folders) as folder:
            return content(name, folder, MAX_COVERAGE_BYTES)
    except OSError:
        return None


class _Root(Exception):
    """The root element is read; the rest of the file does not matter."""


def _of_cobertura(text: bytes) -> float:
    found: dict[str, str] = {}

    def start(element: str, attributes: dict[str, str]) -> None:
        found.update(attributes if element == "coverage" else {})
        raise _Root

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _plain_doctype
    try:
        parser.Parse(text, True)
    except _Root:
        return _of_root(found)
    except expat.ExpatError as error:
        raise BadCoverage(str(error)) from error
    raise BadCoverage("no element")


def _of_root(attributes: Mapping[str, str]) -> float:
    try:
        if float(attributes.get("lines-valid", "0")) > 0:
            return 100 * float(attributes["lines-covered"]) / float(attributes["lines-valid"])
        return 100 * float(attributes["line-rate"])
    except (KeyError, ValueError) as error:
        raise BadCoverage("the root element tells no lines") from error


def _plain_doctype(_name: str, _system: str | None, _public: str | None, inside: int) -> None:
    """Let Cobertura's own document type pass, which expat does not fetch; entities do not."""
    if inside:
        raise BadCoverage("a document type with declarations is not allowed")


def _of_json(text: bytes) -> float:
    if len(text) > MAX_JSON_BYTES:
        raise BadCoverage(f"more than {MAX_JSON_BYTES} bytes of JSON")
    try:
        totals = json.loads(text)["totals"]
        return float(totals["percent_covered"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise BadCoverage("no totals.percent_covered") from error


def _of_lcov(text: bytes) -> float:
    try:
        lines, hit = (_summed(text, field) for field in (b"LF:", b"LH:"))
    except ValueError as error:
        raise BadCoverage("a count is no number") from error
    if not lines:
        raise BadCoverage("no line was looked at")
    return 100 * hit / lines


def _summed(text: bytes, field: bytes) -> int:
    return sum(int(line[len(field) :]) for line in text.splitlines() if line.startswith(field))
