"""PostgreSQL's protocol as we use it: extended, as text, row by row, counted.

Through libpq itself instead of the driver's cursors: the extended protocol is what
takes one statement only, no value of a server can fail to be converted, and nothing
is held beyond one row. What the server sends is counted at the socket, because a
single row may be a gigabyte: between libpq's reads, and beside them, since one read takes
all that a fast server delivers meanwhile.
"""

import json
import os
import socket
import struct
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import generators, waiting
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from pydantic import JsonValue

from agenttask_api.databases import DatabaseError, Failure, Scalar
from agenttask_databases.bounds import MAX_WIRE_BYTES, TooMuch, number

BOOL, INTEGERS, FLOATS = 16, frozenset({20, 21, 23, 26}), frozenset({700, 701})
COPYING = frozenset({ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})
_BYTES_RECEIVED = 128
"""Offset of tcpi_bytes_received in Linux's struct tcp_info."""
RESET = struct.pack("ii", 1, 0)
"""Linger for no time: the server hears of the end at once, though it waits to send more."""
WATCH_SECONDS = 0.01
"""At a gigabyte a second, 10 MB more than is taken."""


class Connection(psycopg.AsyncConnection[Any]):
    """Counts what arrives, and never waits for a server that does not answer."""

    overrun = False
    """The server has sent more than is taken; the driver calls that a lost connection."""

    async def wait(  # the driver's signature
        self,
        gen: Any,
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Any:
        """Run libpq's steps; when they are interrupted, hang up."""
        try:
            return await waiting.wait_async(
                self._counted(gen), self.pgconn.socket, interval, timeout
            )
        except BaseException:
            if self.busy:
                self.pgconn.finish()
            raise

    @property
    def busy(self) -> bool:
        """Whether the server still works on a statement."""
        return self.pgconn.transaction_status == TransactionStatus.ACTIVE

    async def send(self, statement: bytes, params: Sequence[bytes | None]) -> None:
        """Send one statement; the server refuses a text that holds two."""
        self.pgconn.send_query_params(statement, params or None, result_format=Format.TEXT)
        self.pgconn.set_single_row_mode()
        await self.wait(generators.send(self.pgconn))

    async def next(self) -> PGresult | None:
        """Return the next row or the end's result; None when all is read."""
        result: PGresult | None = await self.wait(generators.fetch(self.pgconn))
        if result is not None and result.status in COPYING:
            raise DatabaseError(Failure.DENIED, "COPY is not allowed")
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        return result

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Cut the connection as soon as more has arrived than is taken, also within one read."""
        done = threading.Event()
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as wire:
            watch = threading.Thread(target=_watch, args=(wire, done), daemon=True)
            watch.start()
            try:
                yield
            finally:
                done.set()
                watch.join()

    def _counted(self, gen: Any) -> Generator[Any, Any, Any]:
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as wire:
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    self._count(wire)
                    wanted = gen.send(ready)
            except StopIteration as stop:
                self._count(wire)
                return stop.value
            except psycopg.Error:
                self._count(wire)
                raise

    def _count(self, wire: socket.socket) -> None:
        self.overrun = _received(wire) > MAX_WIRE_BYTES
        if self.overrun:
            raise TooMuch


def _watch(wire: socket.socket, done: threading.Event) -> None:
    while not done.wait(WATCH_SECONDS):
        if _received(wire) > MAX_WIRE_BYTES:
            with suppress(OSError):
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                wire.shutdown(socket.SHUT_RDWR)
            return


def columns(result: PGresult) -> tuple[str, ...]:
    """Return the names of the result's columns."""
    names = (result.fname(column) or b"" for column in range(result.nfields))
    return tuple(name.decode("utf-8", "replace") for name in names)


def values(result: PGresult, row: int) -> list[JsonValue]:
    """Return a row as JSON: numbers and booleans as such, the rest as the server's text."""
    return [_value(result, row, column) for column in range(result.nfields)]


def param(value: Scalar | list[Scalar]) -> bytes | None:
    """Return the value as the server reads it; its type follows from the statement."""
    if value is None:
        return None
    text = _array(value) if isinstance(value, list) else _scalar(value)
    if "\x00" in text:
        raise DatabaseError(Failure.STATEMENT, "a text in PostgreSQL has no NUL characters")
    return text.encode()


def _value(result: PGresult, row: int, column: int) -> JsonValue:
    raw = result.get_value(row, column)
    if raw is None:
        return None
    oid = result.ftype(column)
    if oid == BOOL:
        return raw == b"t"
    if oid in INTEGERS:
        return int(raw)
    return number(float(raw)) if oid in FLOATS else raw.decode("utf-8", "replace")


def _scalar(value: bool | int | float | str) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _array(elements: Sequence[Scalar]) -> str:
    """Return an array literal; every element but NULL is quoted."""
    return "{" + ",".join("NULL" if v is None else _quoted(_scalar(v)) for v in elements) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _received(wire: socket.socket) -> int:
    info = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    count: int = struct.unpack_from("Q", info, _BYTES_RECEIVED)[0]
    return count
