"""JUnit reports, honest and hostile."""

import os
from pathlib import Path

import pytest

from agenttask_api import status
from agenttask_courier import junit
from agenttask_courier.junit import Cases, read_reports

GOOD = b"""<?xml version="1.0"?><testsuites><testsuite name="s">
<testcase name="a"/><testcase name="b"><failure>no</failure></testcase>
<testcase name="c"><error/></testcase><testcase name="d"><skipped/></testcase>
<testcase name="e"><system-out>x</system-out></testcase></testsuite></testsuites>"""


@pytest.fixture
def step(tmp_path: Path) -> Path:
    """The folder of step `s`."""
    folder = tmp_path / "reports" / "s"
    folder.mkdir(parents=True)
    return folder


def counted(found: Cases | None) -> status.TestCounts | None:
    return found.counts if found else None


def test_counts_and_names_come_from_the_cases(step: Path):
    (step / "a.xml").write_bytes(GOOD)
    found = read_reports(step.parent, "s")
    assert found
    assert found.counts == status.TestCounts(passed=2, failed=2, skipped=1)
    assert sorted(found.passed) == ["::a", "::e"]
    assert sorted(found.failed) == ["::b", "::c"]
    assert found.whole


def test_what_failed_once_has_failed(step: Path):
    (step / "a.xml").write_text('<x><testcase name="a" classname="k"/></x>', "utf-8")
    (step / "b.xml").write_text(
        '<x><testcase name="a" classname="k"><failure/></testcase></x>', "utf-8"
    )
    found = read_reports(step.parent, "s")
    assert found
    assert (sorted(found.passed), sorted(found.failed)) == ([], ["k::a"])


def test_names_are_capped_and_that_is_said(step: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(junit, "MAX_NAMES", 3)
    (step / "a.xml").write_bytes(GOOD)
    found = read_reports(step.parent, "s")
    assert found
    assert not found.whole
    assert counted(found) == status.TestCounts(passed=2, failed=2, skipped=1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<a><b></a>", id="malformed"),
        pytest.param(b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', id="entities"),
        pytest.param(b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', id="external"),
        pytest.param(b"\xff\xff", id="binary"),
    ],
)
def test_bad_reports_are_not_read(step: Path, text: bytes):
    (step / "a.xml").write_bytes(text)
    assert read_reports(step.parent, "s") is None


def test_reports_of_a_folder_are_summed(step: Path):
    for name in ("a.xml", "b.xml"):
        (step / name).write_bytes(GOOD)
    (step / "c.xml").write_bytes(b"broken")
    (step / "d.txt").write_bytes(GOOD)
    assert counted(read_reports(step.parent, "s")) == status.TestCounts(
        passed=4, failed=4, skipped=2
    )


def test_links_special_and_huge_files_are_not_read(
    tmp_path: Path, step: Path, monkeypatch: pytest.MonkeyPatch
):
    reports, secret = step, tmp_path / "secret.xml"
    secret.write_bytes(GOOD)
    (reports / "link.xml").symlink_to(secret)
    (reports / "folder.xml").mkdir()
    os.mkfifo(reports / "fifo.xml")
    (reports / "huge.xml").write_bytes(GOOD)
    monkeypatch.setattr(junit, "MAX_REPORT_BYTES", len(GOOD) - 1)
    assert read_reports(reports.parent, "s") is None


@pytest.mark.parametrize("swapped", ["reports", "reports/s"])
def test_folder_replaced_by_a_link_is_not_read(tmp_path: Path, step: Path, swapped: str):
    (step / "a.xml").write_bytes(GOOD)
    (tmp_path / swapped).rename(tmp_path / "real")
    (tmp_path / swapped).symlink_to(tmp_path / "real")
    assert read_reports(tmp_path / "reports", "s") is None
    assert read_reports(tmp_path / "missing", "s") is None
