"""go, npm, cargo and make on real projects, offline; more of cargo and npm is slow."""

import os
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools

from agenttask_agent.tools.checks_toolchains import GoEvents
from agenttask_agent.tools.memory import Memory
from agenttask_agent.tools.process import run_program
from agenttask_api.spec import EnvVar

slow = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("AGENTTASK_SLOW_TESTS"), reason="make test-tools"),
]
GO = {
    "go.mod": "module example.org/x\n\ngo 1.19\n",
    "x_test.go": """package x
import ("fmt"; "testing")
func TestGood(t *testing.T) { fmt.Println("--- PASS: TestForged (0.00s)") }
func TestBad(t *testing.T) { t.Error("one is not two") }
func TestLater(t *testing.T) { t.Skip() }
""",
}
NPM = {
    "package.json": '{"name":"x","version":"1.0.0","scripts":{"test":"node --test",'
    '"prose":"echo 5 passing; echo \\"# pass 9\\"","fail":"exit 3"}}',
    "a.test.js": """const test = require('node:test'); const assert = require('assert');
test('good', () => {}); test('bad', () => assert.equal(1, 2));
test('later', {skip: true}, () => {});
""",
}
CARGO = {
    "Cargo.toml": '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n',
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "x"\nversion = "0.1.0"\n',
    "src/lib.rs": """#[test] fn good() { println!("test forged ... ok"); }
#[test] fn bad() { assert_eq!(1, 2); }
#[test] #[ignore] fn later() {}
""",
    "tests/more.rs": "#[test] fn more() {}\n",
}
MIXED = {"passed": 1, "failed": 1, "skipped": 1}
RUSTUP = (EnvVar(name="RUSTUP_HOME", value=str(Path.home() / ".rustup")),)


def test_go_counts_its_events(make_tools: MakeTools):
    result = make_tools(GO)("tests.go_test")
    assert (result.ok, result.exit_code, result.error) == (False, 1, "1 tests failed")
    assert result.metadata["tests"] == MIXED
    assert "one is not two" in result.output


def test_go_code_that_does_not_compile_is_not_counted(make_tools: MakeTools):
    result = make_tools({**GO, "x.go": "package x\nfunc {"})("tests.go_test", package=".")
    assert result.error == "the tests could not be run"
    assert "tests" not in result.metadata
    assert "x.go:2" in result.output


def test_npm_counts_what_nodes_runner_reports(make_tools: MakeTools):
    tools = make_tools(NPM)
    result = tools("tests.npm_test")
    assert (result.error, result.metadata["tests"]) == ("1 tests failed", MIXED)


def test_cargo_counts_libtests_log(make_tools: MakeTools):
    tools = make_tools(CARGO, env=RUSTUP)
    result = tools("tests.cargo_test")
    assert result.metadata.get("tests") == {"passed": 2, "failed": 1, "skipped": 1}, result.output
    assert result.error == "1 tests failed"
    assert not (tools.root / "target").exists()


@pytest.mark.parametrize("mark", [pytest.param(0, marks=slow)])
def test_npm_scripts_without_a_report_have_no_counts(make_tools: MakeTools, mark):
    tools = make_tools(NPM)
    prose = tools("tests.npm_test", script="prose")
    assert (prose.ok, "tests" in prose.metadata) == (True, False)
    assert tools("tests.npm_test", script="fail").exit_code == 3
    assert not tools("tests.npm_test", script="missing").ok


@pytest.mark.parametrize("mark", [pytest.param(0, marks=slow)])
def test_cargo_with_a_harness_of_its_own(make_tools: MakeTools, mark):
    own = CARGO["Cargo.toml"] + '[[test]]\nname = "more"\nharness = false\n'
    files = {**CARGO, "Cargo.toml": own, "src/lib.rs": ""}
    files["tests/more.rs"] = 'fn main() { println!("test forged ... ok"); }\n'
    result = make_tools(files, env=RUSTUP)("tests.cargo_test", package="x")
    assert result.ok, result.output
    assert result.metadata["tests"] == {"passed": 0, "failed": 0, "skipped": 0}


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


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("tests.go_test", {"package": "-exec=touch marker"}),
        ("tests.go_test", {"package": "../other"}),
        ("tests.go_test", {"package": "/etc"}),
        ("tests.npm_test", {"script": "--eval"}),
        ("tests.npm_test", {"script": "test; touch marker"}),
        ("tests.cargo_test", {"package": "--config=x"}),
        ("tests.make_test", {"target": "--eval=x:;touch marker"}),
        ("tests.make_test", {"target": "SHELL=/bin/evil"}),
        ("tests.make_test", {"target": "-f/etc/passwd"}),
    ],
)
def test_an_argument_is_never_an_option(make_tools: MakeTools, operation, arguments):
    tools = make_tools({**GO, "Makefile": "test:\n"})
    assert not tools(operation, **arguments).ok
    assert not (tools.root / "marker").exists()


@pytest.mark.parametrize("program", ["go", "npm", "cargo", "make"])
def test_what_is_not_installed_is_said(make_tools: MakeTools, program: str, tmp_path: Path):
    tools = make_tools(env=(EnvVar(name="PATH", value=str(tmp_path)),))
    result = tools(f"tests.{program}_test")
    assert result.error == f"not available: {program} is not installed in this image"


def test_events_that_are_none_are_output():
    events = GoEvents()
    lines = [b"plain", b"[1]", b'{"Action": 1}', b'{"Action":"pass","Test":"T"}', b"[" * 5000]
    events.feed(b"\n".join([*lines, b"x" * 2_000_000]))
    counts = events.counts()
    assert counts is not None
    assert counts.passed == 1
    assert b"plain" in events.output.content()


def cgroup(folder: Path, **values: object) -> Path:
    for name, value in values.items():
        (folder / name.replace("_", ".")).write_text(f"{value}\n")
    return folder


def cgroup_v1(folder: Path, **values: object) -> Path:
    for name, value in values.items():
        path = folder / name.partition("_")[0] / name.replace("_", ".", 1)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{value}\n")
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
