"""go, npm, cargo and make on real projects, offline; more of cargo and npm is slow."""

import os
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.toolboxes import Tools

from agenttask_agent.tools.checks_toolchains import GoEvents
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
GOCACHE = (EnvVar(name="GOCACHE", value=str(Path.home() / ".cache" / "agenttask" / "go-build")),)
"""Go's own library takes half a minute to compile."""
RUSTUP = (EnvVar(name="RUSTUP_HOME", value=str(Path.home() / ".rustup")),)


def test_go_counts_its_events(make_tools: MakeTools):
    tools = make_tools(GO, env=GOCACHE, seconds=300.0)
    result = tools("tests.go_test")
    assert (result.ok, result.exit_code, result.error) == (False, 1, "1 tests failed")
    assert result.metadata["tests"] == MIXED
    assert "one is not two" in result.output
    without(tools, "x_test.go", "TestBad")
    assert tools("tests.go_test").metadata["tests"] == {**MIXED, "failed": 0}


def without(tools: Tools, name: str, word: str) -> None:
    """Remove the lines with a word from a file."""
    path = tools.root / name
    path.write_text("".join(x for x in path.read_text().splitlines(True) if word not in x))


def test_go_code_that_does_not_compile_is_not_counted(make_tools: MakeTools):
    files = {"go.mod": GO["go.mod"], "x.go": "package x\nfunc {"}
    result = make_tools(files)("tests.go_test", package=".")
    assert result.error == "the tests could not be run"
    assert "tests" not in result.metadata
    assert "x.go:2" in result.output


def test_npm_counts_what_nodes_runner_reports(make_tools: MakeTools):
    tools = make_tools(NPM)
    result = tools("tests.npm_test")
    assert (result.error, result.metadata["tests"]) == ("1 tests failed", MIXED)
    prose = tools("tests.npm_test", script="prose")
    assert (prose.ok, "tests" in prose.metadata) == (True, False)


def test_cargo_counts_libtests_log(make_tools: MakeTools):
    tools = make_tools(CARGO, env=RUSTUP)
    result = tools("tests.cargo_test")
    assert result.metadata.get("tests") == {"passed": 2, "failed": 1, "skipped": 1}, result.output
    assert result.error == "1 tests failed"
    assert not (tools.root / "target").exists()
    without(tools, "src/lib.rs", "fn bad")
    good = tools("tests.cargo_test")
    assert (good.ok, good.metadata["tests"]) == (True, {"passed": 2, "failed": 0, "skipped": 1})


@pytest.mark.parametrize("mark", [pytest.param(0, marks=slow)])
def test_npm_scripts_fail_as_they_fail(make_tools: MakeTools, mark):
    tools = make_tools(NPM)
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
