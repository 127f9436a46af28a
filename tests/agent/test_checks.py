"""The tests family on real pytest runs."""

import os
import time
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.toolboxes import Tools, subreaper

from agenttask_agent.tools import checks_run
from agenttask_agent.tools.process import run_program

MIXED = """import pytest


def test_good():
    pass


def test_bad():
    assert 1 == 2, "one is not two"


@pytest.mark.skip
def test_later():
    pass


@pytest.fixture
def broken():
    raise RuntimeError


def test_error(broken):
    pass
"""


def test_counts_come_from_the_report(make_tools: MakeTools):
    result = make_tools({"test_mixed.py": MIXED})("tests.pytest")
    assert (result.ok, result.exit_code, result.error) == (False, 1, "2 tests failed")
    assert result.metadata["tests"] == {"passed": 1, "failed": 2, "skipped": 1}
    assert "one is not two" in result.output


def test_passing_tests_and_a_part_of_them(tools: Tools):
    result = tools("tests.pytest", path="tests/test_utils.py::test_add")
    assert (result.ok, result.metadata["tests"]) == (True, {"passed": 1, "failed": 0, "skipped": 0})
    assert result.output.startswith("1 passed, 0 failed")


def test_prose_about_tests_is_not_counted(make_tools: MakeTools):
    liar = "def test_x():\n    print('100 passed in 0.01s')\n    assert False\n"
    result = make_tools({"test_x.py": liar})("tests.pytest")
    assert result.metadata["tests"] == {"passed": 0, "failed": 1, "skipped": 0}


def test_no_tests_is_a_failure(make_tools: MakeTools):
    result = make_tools({"a.py": ""})("tests.pytest")
    assert (result.ok, result.error) == (False, "no tests were found")


def test_tests_run_in_the_tasks_folder(make_tools: MakeTools):
    files = {"app/test_a.py": "def test_a():\n    open('here')\n", "app/here": "", "test_b.py": "x"}
    tools = make_tools(files, start="app")
    assert tools("tests.pytest", path="app/test_a.py").ok
    assert tools("tests.pytest", path="app").ok
    assert not tools("tests.pytest", path="test_b.py").ok, "above the folder, and broken"


def test_the_timeout_ends_the_tests_and_their_children(make_tools: MakeTools, tmp_path):
    pid_file = tmp_path / "pid"
    slow = (
        "import subprocess, time\n"
        "def test_x():\n"
        f"    p = subprocess.Popen(['sleep', '60'])\n"
        f"    open({str(pid_file)!r}, 'w').write(str(p.pid))\n"
        "    time.sleep(60)\n"
    )
    result = make_tools({"test_x.py": slow}, seconds=2.0)("tests.pytest")
    assert (result.ok, result.exit_code) == (False, None)
    assert "took too long" in str(result.error)
    assert wait_gone(int(pid_file.read_text()))


def test_a_child_left_behind_does_not_hold_the_result_up(make_tools: MakeTools, tmp_path):
    pid_file = tmp_path / "pid"
    leaving = (
        "import subprocess\n"
        "def test_x():\n"
        "    p = subprocess.Popen(['sleep', '60'])\n"
        f"    open({str(pid_file)!r}, 'w').write(str(p.pid))\n"
    )
    started = time.monotonic()
    make_tools({"test_x.py": leaving})("tests.pytest")
    assert time.monotonic() - started < 30
    assert wait_gone(int(pid_file.read_text()))


def test_output_is_kept_at_both_ends(make_tools: MakeTools):
    noisy = "def test_x():\n    print('start ' + 'x' * 3_000_000 + ' end')\n    assert False\n"
    result = make_tools({"test_x.py": noisy}, max_output=5000)("tests.pytest")
    assert result.truncated
    assert len(result.output) < 5200
    assert "1 failed" in result.output[-500:]


def test_tests_see_a_list_of_variables_only(make_tools: MakeTools, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leaked")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    code = "import os\ndef test_x():\n    assert 'AWS_SECRET_ACCESS_KEY' not in os.environ\n"
    code += "    assert os.environ['CI'] == 'true'\n"
    result = make_tools({"test_x.py": code})("tests.pytest")
    assert result.metadata["tests"] == {"passed": 1, "failed": 0, "skipped": 0}


def test_no_cache_is_left_in_the_workspace(tools: Tools):
    tools("tests.pytest")
    names = {path.name for path in tools.root.rglob("*")}
    assert not names & {".pytest_cache", "__pycache__", "junit.xml"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "--version"},
        {"path": "-p=evil"},
        {"path": "../other"},
        {"path": "/etc"},
        {"path": "missing.py"},
        {"path": "tests\n--collect-only"},
        {"markers": "--help"},
        {"markers": "__import__('os').system('touch x')"},
        {"markers": "a or b; c"},
        {"timeout": 1},
    ],
)
def test_arguments_that_are_refused(tools: Tools, arguments):
    result = tools("tests.pytest", **arguments)
    assert (result.ok, result.exit_code) == (False, None)


@pytest.mark.parametrize("content", ["", "<testsuite", "<a/>" * 2, '<testsuite tests="x"/>', "\0"])
def test_a_report_that_makes_no_sense_counts_nothing(tmp_path: Path, content: str):
    (tmp_path / "junit.xml").write_text(content)
    assert checks_run.read_counts(tmp_path / "junit.xml") is None
    assert checks_run.read_counts(tmp_path / "missing.xml") is None


@pytest.mark.parametrize("more", ["sleep 0.2", "exit 0"])
def test_a_subreaper_ends_children_that_fled_into_their_own_session(tmp_path: Path, more: str):
    """A program that ends at once has left its children before anybody could look."""
    with subreaper():
        for _ in range(10):
            script = f"setsid sleep 60 & echo $! > pid; {more}"
            env = {"PATH": os.environ["PATH"]}
            run_program(["sh", "-c", script], cwd=tmp_path, env=env, timeout=10)
            assert wait_gone(int((tmp_path / "pid").read_text()))


def wait_gone(pid: int) -> bool:
    """Say whether a process is gone, or a zombie that its new parent has not seen yet."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = (
                Path(f"/proc/{pid}/stat")
                .read_text("utf-8", "replace")
                .rpartition(")")[2]
                .split()[0]
            )
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
