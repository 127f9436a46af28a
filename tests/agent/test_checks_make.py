"""make's counts, and what programs get that eat too much."""

import os
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools

from agenttask_agent.tools.memory import Memory
from agenttask_agent.tools.process import run_program

MIXED = {"passed": 1, "failed": 1, "skipped": 1}


def test_make_counts_a_report_and_nothing_else(make_tools: MakeTools):
    junit = '<testsuite tests="3" failures="1" errors="0" skipped="1"/>'
    makefile = f"test:\n\t@echo '{junit}' > $$AGENTTASK_REPORTS/a.xml; exit 1\n"
    makefile += "plain:\n\t@echo 7 passed\nbroken:\n\t@ln -s /dev/zero $$AGENTTASK_REPORTS/a.xml\n"
    tools = make_tools({"Makefile": makefile})
    assert tools("tests.make_test").metadata["tests"] == MIXED
    for target in ("plain", "broken"):
        result = tools("tests.make_test", target=target)
        assert (result.ok, "tests" in result.metadata) == (True, False)
    assert not tools("tests.make_test", target="missing").ok


def cgroup(folder: Path, **values: object) -> Path:
    for name, value in values.items():
        (folder / name.replace("_", ".")).write_text(f"{value}\n")
    return folder


def test_one_hungry_program_gets_no_more_than_its_share(tmp_path: Path):
    memory = Memory(cgroup(tmp_path, memory_max=200 * 1024**2, memory_current=0))
    argv = ["python3", "-c", "x = b'x' * (300 * 1024**2)"]
    finished = run_program(
        argv, cwd="/", env=dict(os.environ), timeout=30, limit=10_000, memory=memory
    )
    assert b"MemoryError" in finished.output
    assert (finished.exit_code, finished.hungry) == (1, False)


@pytest.mark.parametrize(
    "used",
    [{"memory_current": 10**13, "memory_stat": "inactive_file 5"}, {"pids_current": 10}],
)
def test_many_hungry_programs_are_ended(tmp_path: Path, used):
    memory = Memory(cgroup(tmp_path, memory_max=10**13, pids_max=10, **used))
    finished = run_program(["sleep", "30"], cwd="/", env={}, timeout=20, limit=100, memory=memory)
    assert (finished.exit_code, finished.hungry) == (None, True)
    assert finished.seconds < 5


def cgroup_v1(folder: Path, **values: object) -> Path:
    for name, value in values.items():
        path = folder / name.partition("_")[0] / name.replace("_", ".", 1)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{value}\n")
    return folder


@pytest.mark.parametrize(
    "used",
    [{"memory_usage_in_bytes": 950, "memory_stat": "total_inactive_file 5"}, {"pids_current": 10}],
)
def test_many_hungry_programs_are_ended_under_version_1_too(tmp_path: Path, used):
    root = cgroup_v1(tmp_path, memory_limit_in_bytes=1000, pids_max=10, **used)
    finished = run_program(
        ["sleep", "30"], cwd="/", env={}, timeout=20, limit=100, memory=Memory(root)
    )
    assert (finished.exit_code, finished.hungry) == (None, True)


def test_cache_is_no_hunger_under_version_1(tmp_path: Path):
    files = {"memory_usage_in_bytes": 950, "memory_stat": "total_inactive_file 500\ncache 5"}
    memory = Memory(cgroup_v1(tmp_path, memory_limit_in_bytes=1000, pids_max="max", **files))
    assert not memory.is_short()
    assert memory.per_process == 800
