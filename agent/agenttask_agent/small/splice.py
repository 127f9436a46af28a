"""Puts a model's code into a file: pure functions from text to text.

A small model writes a function well and says badly where it belongs, so the place is
found here: by the syntax tree for Python, at the end of the file for the rest.
"""

import ast
import re
import textwrap

FENCE = re.compile(r"^(`{3,})[^\n`]*\n", re.MULTILINE)


class CannotSplice(Exception):
    """The code does not fit the file; the text says why, for the model."""


def code_of(answer: str) -> str:
    """Return the code of an answer that began inside a fence, or holds one.

    What follows the closing fence is prose, and so is what stands before an opening one.
    """
    opening = FENCE.search(answer)
    if opening and not answer[: opening.start()].strip().startswith(("import", "def", "class")):
        answer = answer[opening.end() :]
    return answer.partition("\n```")[0].removesuffix("```").rstrip() + "\n"


def with_line_endings(text: str, like: str) -> str:
    """Return the text with a final newline as `like` has one, or with one for a new file."""
    plain = text.rstrip("\n")
    return plain if like and not like.endswith("\n") else plain + "\n"


def replace_symbol(source: str, symbol: str, code: str) -> str:
    """Return the source with one function or class (`Class.method` for a method) replaced.

    Raises CannotSplice when there is no such symbol or the code is not valid at its place.
    """
    found = find_symbol(source, symbol)
    if found is None:
        raise CannotSplice(f"the file has no {symbol}")
    first, last, indent = found
    lines = source.splitlines()
    new = _indented(code, indent)
    return "\n".join([*lines[: first - 1], *new, *lines[last:]]) + "\n"


def append(source: str, code: str) -> str:
    """Return the source with the code at its end, two empty lines between them.

    Imports in the code move to where the file's own imports end.
    """
    imports, rest = _split_imports(code)
    body = _without_known(source, rest)
    if not body.strip() and not imports:
        raise CannotSplice("there is no new code in the answer")
    base = _with_imports(source, imports).rstrip("\n")
    return f"{base}\n\n\n{body.strip()}\n" if base else body.strip() + "\n"


def find_symbol(source: str, symbol: str) -> tuple[int, int, int] | None:
    """Return first line (decorators included), last line and indent, None without such a name."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return None
    node: ast.AST | None = None
    for name in symbol.split("."):
        node = next((n for n in body if _name(n) == name), None)
        if node is None:
            return None
        body = getattr(node, "body", [])
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return first, node.end_lineno or node.lineno, node.col_offset


def _name(node: ast.AST) -> str:
    named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return str(getattr(node, "name", "")) if named else ""


def _indented(code: str, indent: int) -> list[str]:
    plain = textwrap.dedent(code).strip("\n")
    return textwrap.indent(plain, " " * indent).splitlines()


def _split_imports(code: str) -> tuple[list[str], str]:
    """Return the import lines at the top of the code and the rest."""
    lines = textwrap.dedent(code).strip("\n").splitlines()
    count = 0
    while count < len(lines) and (
        not lines[count].strip() or re.match(r"(import|from)\s+\S", lines[count])
    ):
        count += 1
    imports = [line for line in lines[:count] if line.strip()]
    return imports, "\n".join(lines[count:])


def _with_imports(source: str, imports: list[str]) -> str:
    present = set(source.splitlines())
    new = [line for line in imports if line not in present]
    if not new:
        return source
    lines = source.splitlines()
    at = _end_of_imports(source)
    return "\n".join([*lines[:at], *new, *lines[at:]]) + "\n"


def _end_of_imports(source: str) -> int:
    """Return how many lines stand before the first line of code that is no import."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError):
        return 0
    end = 0
    for position, node in enumerate(body):
        is_text = position == 0 and isinstance(node, ast.Expr)
        if not is_text and not isinstance(node, ast.Import | ast.ImportFrom):
            break
        end = node.end_lineno or node.lineno
    return end


def _without_known(source: str, code: str) -> str:
    """Return the code without top-level definitions that the file has in the same words."""
    try:
        known = {ast.dump(node) for node in ast.parse(source).body}
        new = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError):
        return code
    kept = [ast.get_source_segment(code, n) or "" for n in new if ast.dump(n) not in known]
    return "\n\n\n".join(kept) if len(kept) < len(new) else code
