"""Neo4j: one Cypher statement in one transaction on one connection.

The server enforces what matters: READ access makes it refuse writes, the
transaction's timeout makes it stop by itself, and it takes one statement only. What
may read files or the network in spite of that is found in the server's own plan and
refused before anything is executed (`cypher`).
"""

from typing import Any

from neo4j import (
    READ_ACCESS,
    WRITE_ACCESS,
    AsyncDriver,
    AsyncGraphDatabase,
    AsyncSession,
    AsyncTransaction,
    NotificationMinimumSeverity,
    Query,
    TrustAll,
    TrustCustomCAs,
    TrustSystemCAs,
    exceptions,
)
from neo4j.graph import Node, Path, Relationship
from neo4j.spatial import Point
from pydantic import JsonValue

from agenttask_api.databases import DatabaseError, Failure, Neo4jQuery, Rows
from agenttask_databases.bounds import Table, jsonable
from agenttask_databases.connection import ConnectionConfig
from agenttask_databases.cypher import refusal, refusal_of_plan

CONNECT_SECONDS = 10.0
FETCH_RECORDS = 100
_READ_ONLY = "Neo.ClientError.Statement.AccessMode"
_TIMED_OUT = (
    "Neo.ClientError.Transaction.TransactionTimedOut",
    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration",
)


async def query(config: ConnectionConfig, request: Neo4jQuery) -> Rows:
    """Execute the statement; raises DatabaseError with the server's own words."""
    if why := refusal(request.query, config.read_only):
        raise DatabaseError(Failure.DENIED, why)
    try:
        async with _driver(config) as driver, _session(driver, config) as session:
            await _check_plan(session, config, request)
            return await _execute(session, config, request)
    except (exceptions.Neo4jError, exceptions.DriverError) as error:
        raise _told(error, config.name) from None
    except (OverflowError, ValueError, TypeError) as error:
        what = f"a parameter has no counterpart in Cypher: {error}"
        raise DatabaseError(Failure.STATEMENT, what) from None


def _driver(config: ConnectionConfig) -> AsyncDriver:
    address = config.address
    scheme = "neo4j" if address.routing else "bolt"
    host = f"[{address.host}]" if ":" in address.host else address.host
    arguments: dict[str, Any] = {
        "auth": (address.user, address.password) if address.user else None,
        "connection_timeout": CONNECT_SECONDS,
        "connection_acquisition_timeout": CONNECT_SECONDS,
        "max_transaction_retry_time": 0,
        "notifications_min_severity": NotificationMinimumSeverity.OFF,
        "telemetry_disabled": True,
        "encrypted": address.tls not in ("", "disable"),
    }
    if arguments["encrypted"]:
        arguments["trusted_certificates"] = _trusted(config)
    return AsyncGraphDatabase.driver(f"{scheme}://{host}:{address.port}", **arguments)


def _trusted(config: ConnectionConfig) -> TrustAll | TrustCustomCAs | TrustSystemCAs:
    if config.address.tls == "require":
        return TrustAll()
    return TrustCustomCAs(str(config.ca_file)) if config.ca_file else TrustSystemCAs()


def _session(driver: AsyncDriver, config: ConnectionConfig) -> AsyncSession:
    return driver.session(
        database=config.address.database or None,
        default_access_mode=READ_ACCESS if config.read_only else WRITE_ACCESS,
        fetch_size=FETCH_RECORDS,
    )


async def _check_plan(session: AsyncSession, config: ConnectionConfig, request: Neo4jQuery) -> None:
    """Let the server plan the statement and refuse what the plan would do."""
    text = Query(f"EXPLAIN {request.query}", timeout=request.seconds)
    result = await session.run(text, request.params)
    summary = await result.consume()
    plan = None if summary.plan is None else dict(summary.plan)
    if why := refusal_of_plan(plan, config.read_only):
        raise DatabaseError(Failure.DENIED, why)


async def _execute(session: AsyncSession, config: ConnectionConfig, request: Neo4jQuery) -> Rows:
    transaction = await session.begin_transaction(timeout=request.seconds)
    async with transaction:
        table = await _read(transaction, request, stop=config.read_only)
        if config.read_only:
            await transaction.rollback()
        else:
            await transaction.commit()
    return table.answer()


async def _read(transaction: AsyncTransaction, request: Neo4jQuery, stop: bool) -> Table:
    result = await transaction.run(request.query, request.params)
    table = Table(columns=tuple(result.keys()))
    async for record in result:
        table.add([jsonable(value, _plain) for value in record.values()])
        if table.full and stop:
            break
    return table


def _plain(value: object) -> object | None:
    if isinstance(value, Node):
        return {"labels": sorted(value.labels), "properties": dict(value)}
    if isinstance(value, Relationship):
        ends = {"start": _id(value.start_node), "end": _id(value.end_node)}
        return {"type": value.type, **ends, "properties": dict(value)}
    if isinstance(value, Path):
        return {"nodes": list(value.nodes), "relationships": list(value.relationships)}
    if isinstance(value, Point):
        return {"srid": value.srid, "coordinates": list(value)}
    written = getattr(value, "iso_format", None)
    return written() if callable(written) else None


def _id(node: Node | None) -> JsonValue:
    return None if node is None else node.element_id


def _told(error: exceptions.Neo4jError | exceptions.DriverError, name: str) -> DatabaseError:
    """Return the server's words; the driver's own name its address."""
    if isinstance(error, exceptions.AuthError):
        what = f"the server of connection {name!r} refuses the credentials"
        return DatabaseError(Failure.UNAVAILABLE, what)
    if isinstance(error, exceptions.DriverError) or error.code is None:
        what = f"the server of connection {name!r} cannot be reached, or was lost"
        return DatabaseError(Failure.UNAVAILABLE, what)
    failure = Failure.TIMEOUT if error.code in _TIMED_OUT else Failure.STATEMENT
    failure = Failure.DENIED if error.code == _READ_ONLY else failure
    return DatabaseError(failure, f"{error.message} ({error.code})")
