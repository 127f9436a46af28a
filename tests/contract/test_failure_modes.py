"""Every one of the 40 failure modes has a test, or a line that says why not."""

import re

from tests.contract.naming import ROOT, missing

FAULTS = 40
MOST_WITHOUT = 4
_TEST = re.compile(r"`(tests/[\w/]+\.py::test_\w+(?:\[[^\]]+\])?)`")


def rows(document: str) -> dict[int, str]:
    """Return the numbered rows of a document's tables."""
    text = (ROOT / "docs" / document).read_text("utf-8")
    return {int(n): row for n, row in re.findall(r"^\| (\d+) \|(.*)$", text, re.MULTILINE)}


def test_each_fault_is_shown_by_tests_that_exist() -> None:
    for number, row in rows("failure-modes.md").items():
        named = _TEST.findall(row)
        assert named, f"row {number} names no test"
        assert [m for t in named if (m := missing(t))] == []


def test_what_has_no_test_is_a_limit_with_a_reason() -> None:
    shown, limits = rows("failure-modes.md"), rows("limits.md")
    assert len(limits) <= MOST_WITHOUT
    assert sorted([*shown, *limits]) == list(range(1, FAULTS + 1))
    assert all(len(row.split("|")[1].strip()) > 20 for row in limits.values())


def test_a_test_that_is_not_there_is_found_out() -> None:
    here = "tests/contract/test_failure_modes.py"
    assert missing(f"{here}::test_nobody")
    assert missing("tests/nowhere.py::test_a")
    assert missing(f"{here}::test_a_test_that_is_not_there_is_found_out[no such{' '}thing]")
    assert not missing(f"{here}::test_a_test_that_is_not_there_is_found_out")
