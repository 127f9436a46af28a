"""JUnit reports, honest and hostile."""

import os
from pathlib import Path

import pytest

from agenttask_api import status
from agenttask_courier import junit
from agenttask_courier.junit import BadReport, count_tests, read_reports

GOOD = b"""<?xml version="1.0"?><testsuites><testsuite name="s">
<testcase name="a"/><testcase name="b"><failure>no</failure></testcase>
<testcase name="c"><error/></testcase><testcase name="d"><skipped/></testcase>
<testcase name="e"><system-out>x</system-out></testcase></testsuite></testsuites>"""


def test_counts_come_from_the_cases():
    assert count_tests(GOOD) == status.TestCounts(passed=2, failed=2, skipped=1)


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
def test_bad_reports_are_refused(text: bytes):
    with pytest.raises(BadReport):
        count_tests(text)


def test_reports_of_a_folder_are_summed(tmp_path: Path):
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).write_bytes(GOOD)
    (tmp_path / "c.xml").write_bytes(b"broken")
    (tmp_path / "d.txt").write_bytes(GOOD)
    assert read_reports(tmp_path) == status.TestCounts(passed=4, failed=4, skipped=2)


def test_links_special_and_huge_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reports, secret = tmp_path / "reports", tmp_path / "secret.xml"
    reports.mkdir()
    secret.write_bytes(GOOD)
    (reports / "link.xml").symlink_to(secret)
    (reports / "folder.xml").mkdir()
    os.mkfifo(reports / "fifo.xml")
    (reports / "huge.xml").write_bytes(GOOD)
    monkeypatch.setattr(junit, "MAX_REPORT_BYTES", len(GOOD) - 1)
    assert read_reports(reports) is None


def test_folder_replaced_by_a_link_is_not_read(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.xml").write_bytes(GOOD)
    (tmp_path / "reports").symlink_to(tmp_path / "real")
    assert read_reports(tmp_path / "reports") is None
    assert read_reports(tmp_path / "missing") is None
