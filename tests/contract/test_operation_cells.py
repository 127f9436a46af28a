"""Every operation has a test of its success, its failure and hostile arguments, on real parts.

That each of them really makes its calls is checked when it runs, by its folder's conftest.
"""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from tests.agent import witness
from tests.agent.cells import HOSTILE, WORKS_AND_FAILS, wanted

from agenttask_agent.tools.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
KEYS = {operation.key for operation in CATALOGUE}


def test_no_operation_is_left_out():
    assert set(WORKS_AND_FAILS) == KEYS
    assert set(HOSTILE) == {operation.family for operation in CATALOGUE}


@pytest.mark.parametrize("outcome", [witness.OK, witness.NOT_OK])
def test_each_outcome_of_each_operation_has_a_test(outcome: str):
    assert {key for calls in wanted().values() for key, seen in calls if seen == outcome} == KEYS


def test_the_tests_exist():
    """By their whole ids, as pytest collects them."""
    files = sorted({test.partition("::")[0] for test in wanted()})
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        *files,
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    collected = set(done.stdout.splitlines())
    known = collected | {test.partition("[")[0] for test in collected}
    assert sorted(set(wanted()) - known) == []


def test_a_call_that_was_not_made_is_missed():
    seen = defaultdict(set, {"a.py::test_x[1]": {("files.mkdir", "ok"), ("git.add", "ok")}})
    calls = {"a.py::test_x": {("files.mkdir", "ok")}, "a.py::test_x[1]": {("git.add", "not ok")}}
    assert witness.unmet("a.py::test_x[1]", calls, seen) == {("git.add", "not ok")}
    assert witness.unmet("a.py::test_x[2]", calls, seen) == {("files.mkdir", "ok")}
    assert witness.unmet("a.py::test_y", calls, seen) == set()


@pytest.mark.parametrize("folder", ["agent", "databases"])
def test_the_witness_is_asked(folder: str):
    text = (ROOT / "tests" / folder / "conftest.py").read_text("utf-8")
    assert "from tests.agent.cells import pytest_pyfunc_call as pytest_pyfunc_call" in text
