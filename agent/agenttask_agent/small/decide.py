"""What to edit, what to try next, and which answer wins. Pure."""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import yaml

from agenttask_agent.small import pysource
from agenttask_agent.small.formats import Item
from agenttask_agent.small.words import Words

MAX_WHOLE_CHARACTERS = 8000
"""A longer file is not asked for whole: the reply would be cut off."""
KEPT_SHARE = 0.5
"""Of a file's lines, what an edit has to leave; more is taken for an accident."""
TEST_FOLDERS = ("tests", "test", "testing")


@dataclass(frozen=True)
class Score:
    """What the checks say of a state of the files; smaller is better."""

    broken: int = 0
    """Visible tests that passed before and do not now."""
    examples: int = 0
    """Examples of the task that do not hold."""
    missing: int = 0
    """Names the task asks for that no file defines."""
    failing: int = 0
    """Visible tests that fail, also those that failed before."""

    def key(self) -> tuple[int, int, int, int]:
        """Return the order of importance."""
        return self.broken, self.missing, self.examples, self.failing

    def solved(self) -> bool:
        """Say whether nothing is left that a check can see."""
        return not any(self.key())


def is_test(path: str) -> bool:
    """Say whether a path holds tests, by the usual names."""
    parts = PurePosixPath(path).parts
    name = parts[-1] if parts else ""
    named = name.startswith(("test_", "conftest")) or name.rpartition(".")[0].endswith("_test")
    return named or any(part in TEST_FOLDERS for part in parts[:-1])


def new_names(words: Words, files: Mapping[str, str]) -> list[str]:
    """Return the called or declared names of the task that no file defines yet."""
    known = {s.name for text in files.values() for s in pysource.symbols_of(text) or ()}
    plain = known | {name.rpartition(".")[2] for name in known}
    wanted = [*words.classes, *(name for name, _ in words.signatures), *words.names]
    wanted += [name for name, _ in words.examples]
    calls = {name for name, _ in words.signatures} | {name for name, _ in words.examples}
    return [
        name
        for name in dict.fromkeys(wanted)
        if name not in plain and name.isidentifier() and (name in calls or name in words.classes)
    ]


def named_targets(words: Words, paths: Sequence[str]) -> list[str]:
    """Return the files that the text names, known ones by any unique ending of their path."""
    found = []
    for path in words.paths:
        ends = [p for p in paths if p == path or p.endswith(f"/{path}")]
        found += ends[:1] if len(ends) == 1 or path in ends else []
    return [p for p in dict.fromkeys(found) if words.wants_tests or not is_test(p)]


def new_files(words: Words, paths: Sequence[str]) -> list[str]:
    """Return the files that the text names and nobody has."""
    known = [p for p in words.paths if any(q == p or q.endswith(f"/{p}") for q in paths)]
    new = [p for p in words.paths if p not in known]
    return [p for p in new if words.wants_tests or not is_test(p)]


def defining(words: Words, files: Mapping[str, str]) -> list[str]:
    """Return the files that define a name of the task."""
    wanted = {*words.names, *words.classes, *(n for n, _ in words.examples)}
    return [
        path
        for path, text in files.items()
        if path.endswith(".py")
        and any(pysource.find(pysource.symbols_of(text) or (), name) for name in wanted)
    ]


def items_for(path: str, text: str, words: Words, new: Sequence[str], first: bool) -> list[Item]:
    """Return the edits of one file, the cheapest format that fits each."""
    symbols = pysource.symbols_of(text) if path.endswith(".py") else None
    if symbols is None:
        return [Item("whole", path)]
    signatures = dict(words.signatures)
    mentioned = [n for n in (*words.names, *words.classes) if pysource.find(symbols, n)]
    items = [Item("symbol", path, n) for n in mentioned if not _is_class(symbols, n)]
    owners = [n for n in mentioned if _is_class(symbols, n)]
    for name in new if first else ():
        if owners and name not in words.classes:
            items.append(Item("method", path, f"{owners[0]}.{name}", signatures.get(name, "")))
        else:
            signature = signatures.get(name, "")
            items.append(Item("append", path, name, signature, name in words.classes))
    return sorted(items, key=lambda item: item.format == "symbol") or [Item("whole", path)]


def objection(path: str, old: str, new: str, may_remove: bool) -> str:
    """Return why a new content must not be tried; nothing when it may."""
    if new.strip() == old.strip() or pysource.shape(new) == pysource.shape(old):
        return "it changes nothing"
    problem = _unreadable(path, new)
    if problem:
        return problem
    gone = pysource.lost(old, new) if path.endswith(".py") else set()
    if gone and not may_remove:
        return "it drops " + ", ".join(sorted(gone))
    if not may_remove and len(new.splitlines()) < KEPT_SHARE * len(old.splitlines()):
        return "it drops more than half of the file"
    return ""


def fits_whole(text: str, window: int | None) -> bool:
    """Say whether a file can be asked for whole: twice in the window, and room for the rest."""
    limit = MAX_WHOLE_CHARACTERS if window is None else min(MAX_WHOLE_CHARACTERS, window)
    return len(text) <= limit


def _is_class(symbols: tuple[pysource.Symbol, ...], name: str) -> bool:
    found = pysource.find(symbols, name)
    return bool(found and found.is_class)


def _unreadable(path: str, text: str) -> str:
    ending = path.rpartition(".")[2].lower()
    readers: dict[str, Callable[[str], object]] = {
        "py": compile_python,
        "json": json.loads,
        "toml": tomllib.loads,
    }
    readers |= {"yaml": yaml.safe_load, "yml": yaml.safe_load}
    try:
        if ending in readers:
            readers[ending](text)
    except (ValueError, SyntaxError, yaml.YAMLError, RecursionError) as error:
        return f"it is not valid {ending}: {str(error)[:200]}"
    return ""


def compile_python(text: str) -> object:
    """Return the compiled text; raises SyntaxError or ValueError."""
    return compile(text, "candidate", "exec", dont_inherit=True)
