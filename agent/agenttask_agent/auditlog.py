"""Reads audit files: is the chain whole, and what happened.

A chain shows a change, a removal and another order anywhere but at its end: that
the last lines were cut off can only be told from the number the report gives.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agenttask_agent.audit import verify_chain


@dataclass(frozen=True)
class Query:
    """None = any."""

    tool: str | None = None
    operation: str | None = None
    success: bool | None = None
    limit: int = 100

    def matches(self, entry: dict[str, object]) -> bool:
        wanted = {"tool": self.tool, "operation": self.operation, "success": self.success}
        return all(value is None or entry.get(key) == value for key, value in wanted.items())


def problem_of(path: Path) -> str:
    """Return what is wrong with an audit file, nothing when it is whole."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    try:
        whole = verify_chain(lines)
        numbers = [json.loads(line)["seq"] for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        return f"a line is no entry: {error}"
    if not whole:
        return "the chain of hashes is broken"
    return "" if numbers == list(range(1, len(lines) + 1)) else "the numbers have a gap"


def newest_first(path: Path, query: Query) -> Iterator[str]:
    """Return the lines that match, the latest first."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (line for line in reversed(lines) if query.matches(json.loads(line)))
    for _, line in zip(range(query.limit), found, strict=False):
        yield line
