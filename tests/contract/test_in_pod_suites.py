"""No test file of the families files, git and tests is forgotten in the pod."""

import re

import pytest
from tests.e2e import inpod

from agenttask_agent.tools.catalogue import CATALOGUE

FAMILIES = ("files", "git", "tests")
NAMED = re.compile(rf"""["']({"|".join(FAMILIES)})\.({"|".join(o.name for o in CATALOGUE)})["']""")


def test_a_file_that_calls_these_families_runs_in_the_pod_or_says_why_not():
    running = {path.name for path in inpod.files()}
    calling = {p.name for p in inpod.TESTS.glob("test_*.py") if NAMED.search(p.read_text("utf-8"))}
    assert len(running) >= 7, "the names in tests/e2e/inpod.py find nothing"
    forgotten = calling - running - set(inpod.ELSEWHERE)
    assert not forgotten, "name them in NAMES or, with a reason, in ELSEWHERE (tests/e2e/inpod.py)"


@pytest.mark.parametrize("name", inpod.ELSEWHERE)
def test_what_stays_outside_exists_and_has_a_reason(name: str):
    assert (inpod.TESTS / name).is_file()
    assert len(inpod.ELSEWHERE[name]) > 10


def test_the_suites_cover_all_three_families():
    text = "".join(path.read_text("utf-8") for path in inpod.files())
    called = {f"{family}.{name}" for family, name in NAMED.findall(text)}
    wanted = {o.key for o in CATALOGUE if o.family in FAMILIES}
    elsewhere = {"tests.go_test", "tests.npm_test", "tests.cargo_test"}
    assert wanted - called <= elsewhere


def test_the_archive_fits_a_config_map():
    assert len(inpod.archive()) < 900 * 1024
