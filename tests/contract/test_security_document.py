"""Every guarantee in docs/security.md names a test that exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"`((?:[\w/]*test_\w+\.py)?(?:::test_\w+)?)`")


def rows() -> list[str]:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    table = text.split("## What is guaranteed")[1].split("## What is not")[0]
    return [line for line in table.splitlines() if line.startswith("| ")][1:]


def functions(name: str) -> set[str]:
    """Return the tests of a file."""
    tree = ast.parse((ROOT / name).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def test_each_guarantee_names_a_test_that_exists() -> None:
    assert len(rows()) >= 10
    for row in rows():
        named = [found for found in _NAMED.findall(row.rsplit("|", 2)[1]) if found]
        assert named, f"no test named: {row}"
        name = ""
        for file, _, test in (found.partition("::") for found in named):
            name = file or name
            assert not test or test in functions(name), f"{name} has no {test}"
            assert functions(name)
