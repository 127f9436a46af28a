"""PostgreSQL: one statement in one transaction on one connection.

The server enforces what matters. `options` make the session read-only and bound its
time before any statement; `BEGIN READ ONLY` is followed by a query of ours, after
which the server refuses to make the transaction writable again; the extended protocol
takes no second statement; a read-only transaction always ends in a rollback. A role
that could run programs or write files on the server is refused, because no
transaction holds those back.

What only the role's permissions can prevent: SECURITY DEFINER functions and
extensions such as dblink that act outside the transaction.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import psycopg

from agenttask_api.databases import (
    DatabaseError,
    Failure,
    PostgresqlQuery,
    PostgresqlSchema,
    Rows,
)
from agenttask_databases import libpq
from agenttask_databases.bounds import Table, TooMuch
from agenttask_databases.connection import ConnectionConfig
from agenttask_databases.statements import refusal

CONNECT_SECONDS = 10
LOCK_SECONDS = 5.0
CANCEL_SECONDS = 2.0
READ_ONLY_TRANSACTION, CANCELED, LOCKED = "25006", "57014", "55P03"
SHUTTING_DOWN = "57P"

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


async def query(config: ConnectionConfig, request: PostgresqlQuery) -> Rows:
    """Execute the statement; raises DatabaseError with the server's own words."""
    if why := refusal(request.query, config.read_only):
        raise DatabaseError(Failure.DENIED, why)
    params = [libpq.param(value) for value in request.params]
    return await _transaction(config, request.query, params, request.seconds)


async def schema(config: ConnectionConfig, request: PostgresqlSchema) -> Rows:
    """Return one row per column of every table and view in the schema."""
    params = [libpq.param(request.schema_name)]
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
        with connection.bounded():
            await _check_role(connection)
            answer = await _execute(connection, statement, params, read_only)
        if not read_only:
            await connection.commit()
        return answer
    except psycopg.Error as error:
        raise (TooMuch() if connection.overrun else _told(error)) from None
    finally:
        await connection.close()


async def _connect(config: ConnectionConfig, seconds: float, read_only: bool) -> libpq.Connection:
    try:
        connection = await libpq.Connection.connect(**_arguments(config, seconds, read_only))
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


async def _check_role(connection: libpq.Connection) -> None:
    """Refuse roles that no transaction holds back; takes the transaction's snapshot."""
    cursor = await connection.execute(POWERS)
    row = await cursor.fetchone()
    if row is None or row[0] is not False:
        message = "the connection's role is a superuser or may use the server's files and programs"
        raise DatabaseError(Failure.DENIED, f"{message}; give the task a role without that")


async def _execute(
    connection: libpq.Connection, statement: str, params: Sequence[bytes | None], read_only: bool
) -> Rows:
    table, affected = Table(), None
    await connection.send(statement.encode(), params)
    while (result := await connection.next()) is not None:
        table.columns = table.columns or libpq.columns(result)
        for row in range(result.ntuples):
            table.add(libpq.values(result, row))
        if table.full and read_only:
            await _stop(connection)
            break
        affected = affected if result.command_tuples is None else result.command_tuples
    return table.answer(None if read_only else affected)


async def _stop(connection: libpq.Connection) -> None:
    """Tell the server that nobody reads the rest."""
    if connection.busy:
        with contextlib.suppress(psycopg.Error, TimeoutError):
            await connection.cancel_safe(timeout=CANCEL_SECONDS)


def _told(error: psycopg.Error) -> DatabaseError:
    """Return the server's words where it has spoken; the driver's name its address."""
    told = error.diag
    if told.message_primary is None:
        message = "the connection was lost; whether anything was written is unknown"
        return DatabaseError(Failure.UNAVAILABLE, message)
    more = [f"{name}: {text}" for name, text in _details(told) if text]
    message = "; ".join([f"{told.message_primary} ({told.sqlstate})", *more])
    return DatabaseError(_failure(told.sqlstate or ""), message)


def _failure(state: str) -> Failure:
    if state == READ_ONLY_TRANSACTION:
        return Failure.DENIED
    if state in (CANCELED, LOCKED):
        return Failure.TIMEOUT
    return Failure.UNAVAILABLE if state.startswith(SHUTTING_DOWN) else Failure.STATEMENT


def _details(told: psycopg.errors.Diagnostic) -> list[tuple[str, str | None]]:
    return [
        ("detail", told.message_detail),
        ("hint", told.message_hint),
        ("at character", told.statement_position),
    ]
