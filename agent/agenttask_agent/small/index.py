"""What is in the repository, for a model that cannot look around by itself.

Names only, made without running anything: files in the order in which a task is likely
to be about them, and the functions and classes of Python files. Links are not followed
and nothing outside the root is read.
"""

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_FILES = 2000
MAX_OFFERED = 40
"""Paths that one question offers; every one costs tokens of the prompt."""
MAX_SOURCE_BYTES = 256 * 1024
SKIPPED = frozenset(
    {".git", "node_modules", "__pycache__", ".venv", "venv", "target", "dist", "build", ".tox"}
)
TEXT_SUFFIXES = frozenset(
    (".py", ".pyi", ".js", ".ts", ".jsx", ".tsx", ".go", ".rs", ".java", ".c", ".h", ".cpp", ".rb",
     ".sh", ".sql", ".html", ".css", ".md", ".txt", ".rst", ".toml", ".yaml", ".yml", ".json",
     ".cfg", ".ini", ".mk", "")
)  # fmt: skip
WORD = re.compile(r"[A-Za-z][A-Za-z0-9]+")
TEST_NAME = re.compile(r"(^|/)(tests?/|test_[^/]*$|[^/]*_test\.[a-z]+$|conftest\.py$)")
WRITES_TESTS = re.compile(
    r"(?i)\b(add|write|create|update|extend|fix|improve)\b[^.\n]{0,60}\b(unit )?tests?\b"
)


@dataclass(frozen=True)
class SourceFile:
    """One regular text file: its path from the root, its size, its top-level names."""

    path: str
    size: int
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True)
class Index:
    """The files of a repository."""

    files: tuple[SourceFile, ...]

    def names(self) -> frozenset[str]:
        """Return every function and class that is known."""
        return frozenset(symbol for file in self.files for symbol in file.symbols)

    def find(self, path: str) -> SourceFile | None:
        return next((file for file in self.files if file.path == path), None)

    def has_python_tests(self) -> bool:
        return any(is_test(file.path) and file.path.endswith(".py") for file in self.files)


def read_index(root: Path) -> Index:
    """Return the index of the files under `root`."""
    return Index(tuple(_file(root, path) for path in sorted(_paths(root))[:MAX_FILES]))


def is_test(path: str) -> bool:
    """Say whether a path looks like a test's."""
    return bool(TEST_NAME.search(path))


def offered(index: Index, task: str) -> tuple[SourceFile, ...]:
    """Return the files that a task may be about, the likeliest first.

    Tests are among them only if the task is to write some: otherwise they are the measure.
    """
    with_tests = bool(WRITES_TESTS.search(task))
    fitting = [file for file in index.files if with_tests or not is_test(file.path)]
    ranked = sorted(fitting, key=lambda file: (-_likeness(file, task), file.path))
    return tuple(ranked[:MAX_OFFERED])


def _likeness(file: SourceFile, task: str) -> float:
    """Return how well a file fits a task: named in full, named, symbols named, words shared."""
    words = {word.casefold() for word in WORD.findall(task)}
    name = file.path.rpartition("/")[2]
    score = 100.0 * (file.path in task) + 50.0 * (name in task)
    score += sum(10.0 for symbol in file.symbols if re.search(rf"\b{re.escape(symbol)}\b", task))
    own = {word.casefold() for word in WORD.findall(file.path)}
    return score + len(words & own) + 0.5 * file.path.endswith(".py")


def _paths(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in names:
            path = Path(folder, name)
            if path.suffix in TEXT_SUFFIXES and path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix()


def _file(root: Path, path: str) -> SourceFile:
    size = (root / path).lstat().st_size
    symbols = _symbols(root / path) if path.endswith(".py") and size <= MAX_SOURCE_BYTES else ()
    return SourceFile(path, size, symbols)


def _symbols(path: Path) -> tuple[str, ...]:
    try:
        return symbols_of(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return ()


def symbols_of(source: str) -> tuple[str, ...]:
    """Return the functions and classes of a Python source and the classes' methods, as written."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(_named(tree.body, ""))


def _named(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _named(node.body, f"{prefix}{node.name}.")
