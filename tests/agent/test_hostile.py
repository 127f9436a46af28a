"""Whatever a model sends: a result, never an exception, and nothing outside changes."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.agent.projects import make_repository
from tests.agent.toolboxes import Tools

from agenttask_agent.results import ToolResult
from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.policy import Policy

FAMILIES = ("files", "git")
"""The ones that work in the workspace alone; running tests is arbitrary code anyway."""
OPERATIONS = [operation for operation in CATALOGUE if operation.family in FAMILIES]

EXAMPLES = int(os.environ.get("AGENTTASK_FUZZ_EXAMPLES", "100"))
"""For each operation; `make fuzz` sets many more."""

HOSTILE_TEXTS = st.sampled_from(
    [
        "..",
        "../outside/secret",
        "/etc/passwd",
        ".git/config",
        ".git/hooks/pre-commit",
        "link/secret",
        "hard",
        "pipe",
        "a\0b",
        "\udc80",
        "-rf",
        "--output=/tmp/x",
        "$(touch x)",
        ";id",
        "*",
        ".",
        "",
        "HEAD",
        "HEAD@{0}",
        "x" * 5000,
        "con\nnewline",
        "\u202e",
        "~",
        "%00",
        "(?P<x",
        "(a+)+$",
        "utils.py",
        "tests/new/file.txt",
        "all",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50) | HOSTILE_TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)


def arguments_for(operation: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return arguments of the right names with any values, and of wrong names."""
    known = {name: HOSTILE_TEXTS | VALUES for name in operation.params.model_fields}
    return st.fixed_dictionaries({}, optional=known) | st.dictionaries(
        st.sampled_from(["path", *sorted(known)]) | st.text(max_size=10), VALUES, max_size=4
    )


@pytest.fixture(scope="module")
def surroundings() -> Iterator[tuple[Tools, Path]]:
    """A workspace with traps in it, beside a folder that must stay as it is."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        outside = base / "outside"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (outside / "shared").write_text("readable through a hard link, not writable")
        tools = Tools(make_repository(base / "repo"), base / "tmp", max_output=2000)
        yield tools, outside
        tools.close()


def lay_traps(root: Path, outside: Path) -> None:
    for name in ("link", "hard", "pipe"):
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (root / "link").symlink_to(outside)
    (root / "hard").hardlink_to(outside / "shared")
    os.mkfifo(root / "pipe")


def contents(folder: Path) -> list[str]:
    return sorted(
        f"{path.relative_to(folder)} {path.lstat().st_mode} {path.read_bytes()!r}"
        for path in folder.rglob("*")
        if path.is_file()
    )


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
def test_hostile_arguments(operation, surroundings):
    tools, outside = surroundings

    @given(arguments_for(operation))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def check(arguments: dict[str, Any]) -> None:
        lay_traps(tools.root, outside)
        before = contents(outside), contents(tools.root / ".git" / "hooks")
        entries = len(tools.audit.entries)
        result = tools.toolbox.call(operation.wire_name, arguments)
        assert isinstance(result, ToolResult)
        assert "internal error" not in (result.error or "")
        assert result.ok is (result.error is None)
        assert len(tools.audit.entries) == entries + 1
        assert (contents(outside), contents(tools.root / ".git" / "hooks")) == before
        if operation.name != "show":
            assert "secret" not in result.output.replace("outside/secret", "")

    check()


@given(st.text(max_size=100), st.dictionaries(st.text(max_size=10), VALUES, max_size=3))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_hostile_names(surroundings, name: str, arguments: dict[str, Any]):
    tools, _ = surroundings
    assert not tools.toolbox.call(name, arguments).ok


def test_a_read_only_run_changes_nothing(surroundings):
    tools, _ = surroundings
    tools.toolbox.policy = Policy(read_only=True)
    before = contents(tools.root)

    local = [operation for operation in CATALOGUE if operation.family in (*FAMILIES, "tests")]

    @given(st.sampled_from(local), st.data())
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def check(operation: Any, data: Any) -> None:
        tools.toolbox.call(operation.key, data.draw(arguments_for(operation)))

    check()
    assert contents(tools.root) == before
    tools.toolbox.policy = Policy()
