"""Coverage as the project's tools tell it, honest and hostile."""

import os
import sys
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin
from tests.courier.pod import running_pod
from tests.servers.vllm import VLLM

from agenttask_api.report import make_report
from agenttask_api.verification import StepResult, Verification
from agenttask_courier import coverage
from agenttask_courier.coverage import BadCoverage, measured, percentage, stamps
from agenttask_courier.junit import read_reports
from agenttask_courier.places import Places

COBERTURA = b"""<?xml version="1.0" ?>
<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
<coverage lines-valid="8" lines-covered="7" line-rate="0.9"><packages/></coverage>"""
ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE coverage [
<!ENTITY a "7"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<coverage lines-valid="&b;" lines-covered="&a;"/>"""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("coverage.xml", COBERTURA, 87.5),
        ("coverage.xml", b'<coverage line-rate="0.25"/>', 25.0),
        ("coverage.json", b'{"totals": {"percent_covered": 66.66666}}', 66.7),
        ("lcov.info", b"SF:a\nLF:6\nLH:3\nend_of_record\nSF:b\nLF:4\nLH:4\n", 70.0),
    ],
)
def test_each_kind_of_result_is_read(name: str, text: bytes, said: float):
    assert percentage(name, text) == said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("coverage.xml", ENTITIES),
        ("coverage.xml", b""),
        ("coverage.xml", b'<testsuite tests="3"/>'),
        ("coverage.xml", b'<coverage lines-valid="7" lines-covered="700"/>'),
        ("coverage.xml", b'<coverage line-rate="nan"/>'),
        ("coverage.json", b'{"totals": {"percent_covered": Infinity}}'),
        ("coverage.json", b'{"totals": {"percent_covered": [1]}}'),
        ("coverage.json", b'[{"totals": 1}]'),
        ("lcov.info", b"LF:0\nLH:0\n"),
        ("lcov.info", b"LF:many\n"),
        ("lcov.info", b"LF:-5\nLH:1\n"),
    ],
)
def test_what_is_no_result_is_refused(name: str, text: bytes):
    with pytest.raises(BadCoverage):
        percentage(name, text)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A checkout, and the folder of reports with one step."""
    directory, reports = tmp_path / "1", tmp_path / "1-reports"
    directory.mkdir()
    (reports / "tests").mkdir(parents=True)
    return directory, reports


def test_a_steps_own_result_goes_before_the_checkout_s(folders: tuple[Path, Path]):
    directory, reports = folders
    (directory / "coverage.xml").write_bytes(b'<coverage line-rate="0.1"/>')
    assert measured(directory, reports, ["tests"], {}) == 10.0
    (reports / "tests" / "lcov.info").write_bytes(b"LF:2\nLH:1\n")
    assert measured(directory, reports, ["tests"], {}) == 50.0


def test_result_that_is_part_of_the_commit_is_none(folders: tuple[Path, Path]):
    directory, reports = folders
    old = directory / "coverage.xml"
    old.write_bytes(COBERTURA)
    before = stamps(directory)
    assert measured(directory, reports, ["tests"], before) is None
    old.write_bytes(COBERTURA)
    os.utime(old, ns=(1, 1))
    assert measured(directory, reports, ["tests"], before) == 87.5


def test_links_devices_deep_and_huge_files_are_passed_over(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    directory, reports = folders
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    (secret / "lcov.info").write_bytes(b"LF:2\nLH:1\n")
    (directory / "coverage").symlink_to(secret)
    (directory / "lcov.info").symlink_to(secret / "lcov.info")
    os.mkfifo(directory / "cobertura.xml")
    (directory / "coverage.json").write_bytes(b'{"totals":' * 100_000)
    monkeypatch.setattr(coverage, "MAX_COVERAGE_BYTES", 2_000_000)
    (directory / "coverage.xml").write_bytes(COBERTURA + b" " * 2_000_000)
    assert measured(directory, reports, ["tests", "../1"], {}) is None


def test_json_beyond_its_cap_is_not_parsed():
    with pytest.raises(BadCoverage, match="bytes of JSON"):
        percentage("coverage.json", b" " * (coverage.MAX_JSON_BYTES + 1))


def test_coverage_among_the_reports_is_no_test(folders: tuple[Path, Path]):
    (folders[1] / "tests" / "coverage.xml").write_bytes(COBERTURA)
    assert read_reports(folders[1], "tests") is None


def test_report_has_it_beside_the_tests_and_gate_and_score_do_not_change():
    plain = Verification(passed=True, steps=(StepResult(name="tests", exit_code=0),))
    found = make_report(plain.model_copy(update={"coverage": 12.5}), (), "c")
    assert found.unit
    assert found.unit.coverage == 12.5
    without = make_report(plain, (), "c")
    assert (found.gate, found.score) == (without.gate, without.score)


async def test_run_whose_checks_leave_a_result_tells_it(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    text = "<coverage line-rate='0.5'/>"
    code = f"open('coverage.xml', 'w').write({text!r})"
    document = make_document(verify=[{"name": "tests", "run": [sys.executable, "-c", code]}])
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit({"new.txt": "new\n"})
        await pod.agent.hand_in()
        await pod.settled()
        found = pod.courier.judge.evidence.verification
    assert found
    assert (found.passed, found.coverage) == (True, 50.0)
