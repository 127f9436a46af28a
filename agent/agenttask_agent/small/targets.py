"""Which files a task is about, as far as it can be known without asking: pure."""

import re
from collections.abc import Iterable, Mapping

from agenttask_agent.small.index import WRITES_TESTS, Index, is_test, symbols_of

PATH = re.compile(r"(?<![\w/.-])([A-Za-z_][\w-]*(?:/[\w-]+)*\.[a-z]{1,5})(?![\w/])")
MAX_TARGETS = 6
SUFFIXES = (
    "py",
    "js",
    "ts",
    "go",
    "rs",
    "md",
    "txt",
    "json",
    "toml",
    "yaml",
    "yml",
    "cfg",
    "ini",
    "sh",
)


def named_in(task: str, index: Index) -> tuple[str, ...]:
    """Return the files that a task names, in its order; new ones as they are written there.

    A bare file name stands for the one file of that name. Tests are left out unless the
    task is to write some.
    """
    with_tests = bool(WRITES_TESTS.search(task))
    found = [_resolved(name, index) for name in PATH.findall(task)]
    fitting = [path for path in found if path and (with_tests or not is_test(path))]
    return tuple(dict.fromkeys(fitting))[:MAX_TARGETS]


def still_using(lost: Iterable[str], contents: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files in which a name that was taken away is still used."""
    names = [re.compile(rf"\b{re.escape(name.rpartition('.')[2])}\b") for name in lost]
    return tuple(path for path, text in contents.items() if any(n.search(text) for n in names))


def lost_symbols(before: str, after: str) -> tuple[str, ...]:
    """Return the functions and classes that a change took out of a Python file."""
    kept = set(symbols_of(after))
    return tuple(name for name in symbols_of(before) if name not in kept)


def _resolved(name: str, index: Index) -> str:
    if index.find(name):
        return name
    same = [file.path for file in index.files if file.path.rpartition("/")[2] == name]
    if len(same) == 1:
        return same[0]
    return name if name.rpartition(".")[2] in SUFFIXES and not same else ""
