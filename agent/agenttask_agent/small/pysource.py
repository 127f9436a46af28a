"""Python source as places: where a symbol begins and ends, what an edit lost. Pure."""

import ast
import builtins
import re
import sys
from dataclasses import dataclass

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Symbol:
    """A function, class or method; lines count from 0, `end` is one past the last."""

    name: str
    """`function`, `Class` or `Class.method`."""
    start: int
    """With decorators."""
    head: int
    """The line of `def` or `class`."""
    end: int
    indent: int
    is_class: bool


def symbols_of(text: str) -> tuple[Symbol, ...] | None:
    """Return top-level symbols and methods, None when the text does not parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    found = []
    for node in tree.body:
        if isinstance(node, DEFINITIONS):
            found.append(_symbol(node, ""))
        if isinstance(node, ast.ClassDef):
            found += [_symbol(n, f"{node.name}.") for n in node.body if isinstance(n, DEFINITIONS)]
    return tuple(found)


def find(symbols: tuple[Symbol, ...], name: str) -> Symbol | None:
    """Return the symbol of that name, or the only method that is called so."""
    exact = next((s for s in symbols if s.name == name), None)
    ends = [s for s in symbols if s.name.endswith(f".{name}")]
    return exact or (ends[0] if len(ends) == 1 else None)


def lost(old: str, new: str) -> set[str]:
    """Return the symbols of the old text that the new one has no more."""
    before, after = symbols_of(old) or (), symbols_of(new) or ()
    return {s.name for s in before} - {s.name for s in after}


def shape(text: str) -> str:
    """Return what two texts have in common that mean the same to Python."""
    try:
        return ast.dump(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError):
        return text.strip()


def with_imports(text: str) -> str:
    """Return the text with `import` lines for modules of the standard library it lacks."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return text
    missing = sorted(_used_as_module(tree) - _bound(tree))
    if not missing:
        return text
    lines = text.split("\n")
    at = _first_place(tree)
    return "\n".join([*lines[:at], *(f"import {name}" for name in missing), *lines[at:]])


def _used_as_module(tree: ast.Module) -> set[str]:
    names = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return {n for n in names if n in sys.stdlib_module_names and n not in dir(builtins)}


def _bound(tree: ast.Module) -> set[str]:
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, DEFINITIONS):
            bound.add(node.name)
    return bound


def _first_place(tree: ast.Module) -> int:
    """Return the line for an import: after docstring and `from __future__`."""
    at = 0
    for node in tree.body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not (docstring or future):
            break
        at = node.end_lineno or at
    return at


def body_end(lines: list[str], indent: int) -> int:
    """Return how many of the lines after a head belong to it, by their indentation."""
    for number, line in enumerate(lines):
        margin = len(line) - len(line.lstrip())
        if number and line.strip() and margin <= indent and not re.match(r"\s*[)\]}]", line):
            return number
    return len(lines)


def _symbol(node: Definition, owner: str) -> Symbol:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return Symbol(
        f"{owner}{node.name}",
        first - 1,
        node.lineno - 1,
        node.end_lineno or node.lineno,
        node.col_offset,
        isinstance(node, ast.ClassDef),
    )
