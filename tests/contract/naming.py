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
    known = sources(file)
    value = parameter.removesuffix("]")
    return "" if not value or f'"{value}"' in known else f"{file} has no parameter {value!r}"


@cache
def sources(file: str) -> str:
    """Return the text of a test file and of the helpers it imports: parameters may be theirs."""
    text = (ROOT / file).read_text("utf-8")
    imports = (n.module for n in ast.parse(text).body if isinstance(n, ast.ImportFrom) and n.module)
    helpers = (ROOT / f"{m.replace('.', '/')}.py" for m in imports if m.startswith("tests."))
    return "".join([text, *(h.read_text("utf-8") for h in helpers if h.is_file())])
