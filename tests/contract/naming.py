"""Whether tests that a document or a table names are there."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def functions(file: str) -> frozenset[str]:
    """Return the tests of a file; of none when it is not there."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        n.name for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, kinds)
    )


def missing(test_id: str) -> str:
    """Return what is wrong with `file::test` or `file::test[parameter]`; empty = it is there."""
    file, _, rest = test_id.partition("::")
    name, _, parameter = rest.partition("[")
    if name not in functions(file):
        return f"{file} has no {name}"
    known = (ROOT / file).read_text("utf-8")
    value = parameter.removesuffix("]")
    return "" if not value or f'"{value}"' in known else f"{file} has no parameter {value!r}"
