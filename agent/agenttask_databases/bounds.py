"""Cuts what a database answers to rows, bytes, field length and depth.

A value that was cut says so in its own place: a model that reads half a document
must know that it is half.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from agenttask_api.databases import (
    MAX_ANSWER_BYTES,
    MAX_DEPTH,
    MAX_FIELD_BYTES,
    MAX_ROWS,
    Rows,
)

MAX_WIRE_BYTES = 16 * 1024 * 1024
"""What a server may send for one statement before we hang up."""


class TooMuch(ConnectionError):
    """The server sends more than is taken, even to throw it away.

    To a driver that reads on, it is a connection that was lost.
    """


@dataclass
class Table:
    """Rows as they arrive, until one of the bounds is reached."""

    columns: tuple[str, ...] = ()
    rows: list[tuple[JsonValue, ...]] = field(default_factory=list)
    truncated: bool = False
    full: bool = False
    """No further row is taken."""
    _bytes: int = 0

    def add(self, values: Sequence[JsonValue]) -> None:
        """Take one row, or find that there is no more room."""
        cut = [fit(value) for value in values]
        size = sum(size_of(value) for value, _ in cut)
        if len(self.rows) >= MAX_ROWS or self._bytes + size > MAX_ANSWER_BYTES:
            self.truncated = self.full = True
        if self.full:
            return
        self._bytes += size
        self.truncated = self.truncated or any(was_cut for _, was_cut in cut)
        self.rows.append(tuple(value for value, _ in cut))

    def answer(self, affected: int | None = None) -> Rows:
        """Return what was taken."""
        return Rows(
            columns=self.columns,
            rows=tuple(self.rows),
            affected=affected,
            truncated=self.truncated,
        )


def fit(value: JsonValue) -> tuple[JsonValue, bool]:
    """Return the value as one field, and whether it had to be cut."""
    if isinstance(value, str):
        return cut_text(value)
    if isinstance(value, list | dict) and size_of(value) > MAX_FIELD_BYTES:
        return cut_text(json.dumps(value, ensure_ascii=False))
    return value, False


def cut_text(text: str) -> tuple[str, bool]:
    """Return at most MAX_FIELD_BYTES of the text, marked at its end when cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_FIELD_BYTES:
        return raw.decode(), False
    head = raw[:MAX_FIELD_BYTES].decode("utf-8", "ignore")
    return f"{head}[... cut, {len(raw)} bytes in all]", True


def size_of(value: JsonValue) -> int:
    """Return the bytes of the value's JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def number(value: float) -> JsonValue:
    """Return the number, or its name where JSON has no such number."""
    return (
        value
        if math.isfinite(value)
        else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    )


def text_of(raw: bytes) -> str:
    """Return the bytes as text; bytes that are no UTF-8 stay readable as escapes."""
    return raw.decode("utf-8", "backslashreplace")


def jsonable(
    value: object, special: Callable[[object], object | None], depth: int = MAX_DEPTH
) -> JsonValue:
    """Return a driver's value as JSON.

    `special` turns the driver's own types into plain ones, or returns None.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return number(value)
    if isinstance(value, bytes | bytearray):
        return text_of(bytes(value))
    if (plain := special(value)) is not None:
        return jsonable(plain, special, depth)
    if depth <= 0:
        return "[... nested too deeply]"
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item, special, depth - 1) for item in value]
    if isinstance(value, dict):
        return {_key(key): jsonable(item, special, depth - 1) for key, item in value.items()}
    return str(value)


def _key(key: object) -> str:
    return text_of(key) if isinstance(key, bytes) else str(key)
