"""PostgreSQL: one statement in one transaction on one connection.

The server enforces what matters. `options` make the session read-only and bound its
time before any statement; `BEGIN READ ONLY` is followed by a query of ours, after
which the server refuses to make the transaction writable again; the extended protocol
takes no second statement; a read-only transaction always ends in a rollback. A role
that could run programs or write files on the server is refused, because no
transaction holds those back.

What only the role's permissions can prevent: SECURITY DEFINER functions and
extensions such as dblink that act outside the transaction.

Results are read row by row through libpq itself, as text: no value of a server can
fail to be converted, and nothing is buffered beyond one row.
"""

import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Generator, Sequence
from typing import Any

import psycopg
from psycopg import generators, waiting
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

from agenttask_api.databases import (
    DatabaseError,
    Failure,
    PostgresqlQuery,
    PostgresqlSchema,
    Rows,
    Scalar,
)
from agenttask_databases.bounds import MAX_WIRE_BYTES, Table, TooMuch, number
from agenttask_databases.connection import ConnectionConfig
from agenttask_databases.statements import refusal

CONNECT_SECONDS = 10
LOCK_SECONDS = 5.0
CANCEL_SECONDS = 2.0
BOOL, INTEGERS, FLOATS = 16, frozenset({20, 21, 23, 26}), frozenset({700, 701})
READ_ONLY_TRANSACTION, CANCELED, LOCKED = "25006", "57014", "55P03"
_BYTES_RECEIVED = 128
"""Offset of tcpi_bytes_received in Linux's struct tcp_info."""

POWERS = """SELECT r.rolsuper OR EXISTS (
  SELECT FROM pg_catalog.pg_roles p
  WHERE p.rolname IN
    ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
  AND pg_catalog.pg_has_role(r.oid, p.oid, 'MEMBER'))
FROM pg_catalog.pg_roles r WHERE r.rolname = session_user"""

SCHEMA = """SELECT c.relname AS "table",
  CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
    WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
  a.attname AS "column", pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
  NOT a.attnotnull AS nullable, pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS "default",
  (SELECT pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), '; ' ORDER BY k.conname)
   FROM pg_catalog.pg_constraint k
   WHERE k.conrelid = c.oid AND a.attnum = k.conkey[1]) AS constraints
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY c.relname, a.attnum"""


class _Connection(psycopg.AsyncConnection[Any]):
    """Counts what arrives, and never waits for a server that does not answer."""

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            counted = _counted(gen, self.pgconn.socket)
            return await waiting.wait_async(counted, self.pgconn.socket, interval=interval)
        except BaseException:
            if self.pgconn.status == ConnStatus.OK:
                self._hang_up_unless_idle()
            raise

    def _hang_up_unless_idle(self) -> None:
        if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
            self.pgconn.finish()


async def query(config: ConnectionConfig, request: PostgresqlQuery) -> Rows:
    """Execute the statement; raises DatabaseError with the server's own words."""
    if why := refusal(request.query, config.read_only):
        raise DatabaseError(Failure.DENIED, why)
    params = [_param(value) for value in request.params]
    return await _transaction(config, request.query, params, request.seconds)


async def schema(config: ConnectionConfig, request: PostgresqlSchema) -> Rows:
    """Return one row per column of every table and view in the schema."""
    params = [_param(request.schema_name)]
    return await _transaction(config, SCHEMA, params, request.seconds, read_only=True)


async def _transaction(
    config: ConnectionConfig,
    statement: str,
    params: Sequence[bytes | None],
    seconds: float,
    read_only: bool = False,
) -> Rows:
    read_only = read_only or config.read_only
    connection = await _connect(config, seconds, read_only)
    try:
        await _check_role(connection)
        answer = await _execute(connection, statement.encode(), params, read_only)
        await (connection.rollback() if read_only else connection.commit())
        return answer
    except psycopg.Error as error:
        raise _told(error) from None
    finally:
        await connection.close()


async def _connect(config: ConnectionConfig, seconds: float, read_only: bool) -> _Connection:
    try:
        connection = await _Connection.connect(**_arguments(config, seconds, read_only))
    except psycopg.Error as error:
        credentials = "authentication failed" in str(error)
        what = "refuses the credentials" if credentials else "cannot be reached"
        message = f"the server of connection {config.name!r} {what}"
        raise DatabaseError(Failure.UNAVAILABLE, message) from None
    await connection.set_read_only(read_only)
    return connection


def _arguments(config: ConnectionConfig, seconds: float, read_only: bool) -> dict[str, Any]:
    address, milliseconds = config.address, int(seconds * 1000)
    settings = {
        "default_transaction_read_only": "on" if read_only else "off",
        "statement_timeout": milliseconds,
        "lock_timeout": min(milliseconds, int(LOCK_SECONDS * 1000)),
        "idle_in_transaction_session_timeout": milliseconds + 10_000,
    }
    arguments = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password": address.password,
        "dbname": address.database,
        "sslmode": address.tls or "prefer",
        "sslrootcert": str(config.ca_file) if config.ca_file else "",
    }
    return {name: value for name, value in arguments.items() if value} | {
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "agenttask",
        "client_encoding": "UTF8",
        "passfile": "/dev/null",
        "gssencmode": "disable",
    }


async def _check_role(connection: _Connection) -> None:
    """Refuse roles that no transaction holds back; takes the transaction's snapshot."""
    cursor = await connection.execute(POWERS)
    row = await cursor.fetchone()
    if row is None or row[0] is not False:
        message = "the connection's role is a superuser or may use the server's files and programs"
        raise DatabaseError(Failure.DENIED, f"{message}; give the task a role without that")


async def _execute(
    connection: _Connection, statement: bytes, params: Sequence[bytes | None], read_only: bool
) -> Rows:
    table, affected = Table(), None
    async for result in _results(connection, statement, params):
        if not table.columns:
            table.columns = tuple(_name(result, at) for at in range(result.nfields))
        for row in range(result.ntuples):
            table.add([_value(result, row, at) for at in range(result.nfields)])
        if table.full and read_only:
            await _cancel(connection)
            break
        affected = affected if result.command_tuples is None else result.command_tuples
    return table.answer(None if read_only else affected)


async def _results(
    connection: _Connection, statement: bytes, params: Sequence[bytes | None]
) -> AsyncIterator[PGresult]:
    """Send by the extended protocol, which takes one statement only, and read row by row."""
    libpq = connection.pgconn
    libpq.send_query_params(statement, params or None, result_format=Format.TEXT)
    libpq.set_single_row_mode()
    await connection.wait(generators.send(libpq))
    while (result := await connection.wait(generators.fetch(libpq))) is not None:
        if result.status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
            raise DatabaseError(Failure.DENIED, "COPY is not allowed")
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        yield result


async def _cancel(connection: _Connection) -> None:
    """Tell the server to stop, then hang up: nobody reads the rest."""
    if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
        with contextlib.suppress(psycopg.Error, TimeoutError):
            await connection.cancel_safe(timeout=CANCEL_SECONDS)
    connection.pgconn.finish()


def _counted(gen: Any, descriptor: int) -> Generator[Any, Any, Any]:
    """Run libpq's steps; raises TooMuch once the server has sent more than is taken."""
    with socket.socket(fileno=socket.dup(descriptor)) as wire:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                _check_received(wire)
                wanted = gen.send(ready)
        except StopIteration as stop:
            return stop.value


def _check_received(wire: socket.socket) -> None:
    info = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    received = struct.unpack_from("Q", info, _BYTES_RECEIVED)[0]
    if received > MAX_WIRE_BYTES:
        raise TooMuch


def _told(error: psycopg.Error) -> DatabaseError:
    """Return the server's words where it has spoken; the driver's name its address."""
    told = error.diag
    if told.message_primary is None:
        message = "the connection was lost; whether anything was written is unknown"
        return DatabaseError(Failure.UNAVAILABLE, message)
    failures = {
        READ_ONLY_TRANSACTION: Failure.DENIED,
        CANCELED: Failure.TIMEOUT,
        LOCKED: Failure.TIMEOUT,
    }
    more = [f"{name}: {text}" for name, text in _details(told) if text]
    message = "; ".join([f"{told.message_primary} ({told.sqlstate})", *more])
    return DatabaseError(failures.get(told.sqlstate or "", Failure.STATEMENT), message)


def _details(told: psycopg.errors.Diagnostic) -> list[tuple[str, str | None]]:
    return [
        ("detail", told.message_detail),
        ("hint", told.message_hint),
        ("at character", told.statement_position),
    ]


def _name(result: PGresult, column: int) -> str:
    return (result.fname(column) or b"").decode("utf-8", "replace")


def _value(result: PGresult, row: int, column: int) -> bool | int | float | str | None:
    raw = result.get_value(row, column)
    if raw is None:
        return None
    oid = result.ftype(column)
    if oid == BOOL:
        return raw == b"t"
    if oid in INTEGERS:
        return int(raw)
    return number(float(raw)) if oid in FLOATS else raw.decode("utf-8", "replace")  # type: ignore[return-value]


def _param(value: Scalar | list[Scalar]) -> bytes | None:
    """Return the value as the server reads it; types follow from the statement."""
    if value is None:
        return None
    text = _array(value) if isinstance(value, list) else _scalar(value)
    if "\x00" in text:
        raise DatabaseError(Failure.STATEMENT, "a text in PostgreSQL has no NUL characters")
    return text.encode()


def _scalar(value: bool | int | float | str) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _array(values: Sequence[Scalar]) -> str:
    """Return an array literal; every element but NULL is quoted."""
    return "{" + ",".join("NULL" if v is None else _quoted(_scalar(v)) for v in values) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
