"""Which change is good enough, decided from measured facts: pure functions.

A small model drops functions it was told to keep, returns what it was given, or writes
what does not parse. All of that is seen without running anything. The tests decide
about the rest: no test that passed before may fail, and failing ones are to pass.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass

from agenttask_agent.small.index import symbols_of
from agenttask_api.status import TestCounts

REMOVES = re.compile(r"(?i)\b(remove|delete|drop|rename|replace|move|merge|inline)\b")
LOST_SHARE = 0.4
"""Of the lines of a file without symbols: more may not vanish unless the task says so."""
CALLED = re.compile(r"`([A-Za-z_]\w*)(?:\(\)|`)|\b([A-Za-z_]\w*)\(")
NAMED = re.compile(r"(?i)\b(?:function|method|class|constant|variable)\s+(?:called\s+|named\s+)?"
                   r"[`'\"]?([A-Za-z_]\w*)")  # fmt: skip
ORDINARY = frozenset(
    ("a", "an", "the", "that", "which", "to", "for", "in", "of", "with", "called", "named", "is")
)


@dataclass(frozen=True)
class Tests:
    """What a run of the tests told; `counts` is None when nothing was counted."""

    ran: bool
    ok: bool = False
    counts: TestCounts | None = None
    text: str = ""

    @property
    def failed(self) -> int:
        return self.counts.failed if self.counts else 0

    @property
    def passed(self) -> int:
        return self.counts.passed if self.counts else 0


@dataclass(frozen=True)
class Judgement:
    """How good a change is; `problem` is for the model, empty when it is good enough."""

    problem: str = ""
    score: tuple[int, int] = (0, 0)
    """Fewest failing tests first, then most passing ones; larger is better."""


def problem_of(path: str, before: str, after: str, task: str) -> str:
    """Return why a file's new content cannot be right, nothing when it may be."""
    if after == before:
        return f"{path} is unchanged"
    syntax = _syntax(path, after)
    if syntax:
        return f"{path} is not valid: {syntax}"
    if REMOVES.search(task):
        return ""
    lost = [name for name in symbols_of(before) if name not in symbols_of(after)]
    if path.endswith(".py") and lost:
        return f"{path} has lost {', '.join(lost[:5])}, which must be kept"
    kept = set(after.splitlines())
    lines = [line for line in before.splitlines() if line.strip()]
    gone = sum(1 for line in lines if line not in kept)
    if not path.endswith(".py") and gone > max(2, len(lines) * LOST_SHARE):
        return f"{path} has lost {gone} of its {len(lines)} lines"
    return ""


def wanted_names(task: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names that a task speaks of as code and that are nowhere yet."""
    existing = {part for name in known for part in (name, name.rpartition(".")[2])}
    found = [a or b for a, b in CALLED.findall(task)] + NAMED.findall(task)
    fitting = [n for n in found if n not in existing and n.casefold() not in ORDINARY]
    return tuple(dict.fromkeys(n for n in fitting if "_" in n or n in _called(task)))


def judge(before: Tests, after: Tests, missing: Iterable[str]) -> Judgement:
    """Return how a changed repository does against the one it came from."""
    score = (-after.failed, after.passed)
    absent = tuple(missing)
    if absent:
        return Judgement(f"{', '.join(absent)} is still not defined", score)
    if not after.ran:
        return Judgement("", score)
    if after.counts is None and not after.ok and (before.ok or before.counts):
        return Judgement(f"the tests cannot be run any more:\n{after.text}", score)
    if after.failed > before.failed or (before.failed and after.failed >= before.failed):
        return Judgement(f"{after.failed} tests fail:\n{after.text}", score)
    if after.passed < before.passed and after.failed == 0:
        return Judgement("there are fewer passing tests than before", score)
    return Judgement("", score)


def _called(task: str) -> set[str]:
    return {a or b for a, b in CALLED.findall(task)}


def _syntax(path: str, text: str) -> str:
    try:
        if path.endswith(".py"):
            ast.parse(text)
        elif path.endswith(".json"):
            json.loads(text)
        elif path.endswith(".toml"):
            tomllib.loads(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return str(error)[:200]
    return ""
