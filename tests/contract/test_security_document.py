"""Every guarantee and every closed hole of the documents names a test that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"`((?:[\w/]*test_\w+\.py)?(?:::test_\w+)?)`")
PARTS = [("security.md", "## What is guaranteed"), ("tools-weaknesses.md", "# Weaknesses")]


def rows(document: str, start: str) -> list[str]:
    """Return the rows of the tables from a heading on, as far as they are to name tests."""
    text = (ROOT / "docs" / document).read_text("utf-8").split(start)[1]
    lines = text.partition("## What is not")[0].splitlines()
    return [line for line in lines if line.startswith("| ") and not line.endswith("| shown by |")]


def functions(name: str) -> set[str]:
    """Return the tests of a file."""
    tree = ast.parse((ROOT / name).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize(("document", "start"), PARTS)
def test_each_row_names_a_test_that_exists(document: str, start: str) -> None:
    found = rows(document, start)
    assert len(found) >= 10
    for row in found:
        named = [test for test in _NAMED.findall(row.rsplit("|", 2)[1]) if test]
        assert named, f"no test named: {row}"
        name = ""
        for file, _, test in (each.partition("::") for each in named):
            name = file or name
            assert not test or test in functions(name), f"{name} has no {test}"
            assert functions(name)
