"""Redis: one command on one connection.

Redis has no timeout of its own for a command; what could run long or wait is refused
beforehand (`commands`), and we hang up when the time is over.
"""

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any

from pydantic import JsonValue
from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection

from agenttask_api.databases import (
    MAX_ANSWER_BYTES,
    MAX_ROWS,
    DatabaseError,
    Failure,
    RedisCommand,
    Reply,
)
from agenttask_databases.bounds import fit, jsonable, size_of
from agenttask_databases.commands import Description, name_of, refusal, refusal_of
from agenttask_databases.connection import ConnectionConfig

CONNECT_SECONDS = 10.0
"""For reaching the server and for its answer to the credentials."""


async def command(config: ConnectionConfig, request: RedisCommand) -> Reply:
    """Execute the command; raises DatabaseError with the server's own words."""
    if why := refusal(request.command, config.read_only):
        raise DatabaseError(Failure.DENIED, why)
    connection = _connection(config)
    try:
        await _opened(connection, config.name)
        name = name_of(request.command)
        described = await _describe(connection, name)
        if why := refusal_of(name, described, config.read_only):
            raise DatabaseError(Failure.DENIED, why)
        return _reply(await _within(request.seconds, _ask(connection, *request.command)))
    except exceptions.RedisError as error:
        raise _told(error) from None
    except RecursionError:
        raise DatabaseError(Failure.TOO_LARGE, "the reply is nested too deeply") from None
    finally:
        await _hang_up(connection)


def _connection(config: ConnectionConfig) -> Connection:
    address = config.address
    arguments: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "db": int(address.database or "0"),
        "username": address.user or None,
        "password": address.password or None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "protocol": 2,
        "driver_info": None,
    }
    if address.tls in ("", "disable"):
        return Connection(**arguments)
    arguments["ssl_ca_certs"] = str(config.ca_file) if config.ca_file else None
    return SSLConnection(**arguments, ssl_cert_reqs=ssl.CERT_REQUIRED, ssl_check_hostname=True)


async def _opened(connection: Connection, name: str) -> None:
    """Connect and give the credentials; the driver's own words name the address."""
    try:
        await _within(CONNECT_SECONDS, connection.connect())  # type: ignore[no-untyped-call]
    except exceptions.AuthenticationError:
        what = "refuses the credentials"
    except (exceptions.RedisError, OSError, ValueError):
        what = "cannot be reached"
    else:
        return
    message = f"the server of connection {name!r} {what}"
    raise DatabaseError(Failure.UNAVAILABLE, message) from None


async def _hang_up(connection: Connection) -> None:
    """Close the socket at once.

    An orderly end would wait for the server's goodbye under TLS, or for a server that
    takes nothing, and the loop ends before that.
    """
    writer = connection._writer
    if writer is not None:
        writer.transport.abort()
    await connection.disconnect(nowait=True)
    await asyncio.sleep(0)  # The loop closes an aborted socket on its next round.


async def _describe(connection: Connection, name: str) -> Description | None:
    """Return what the server says of the command; older ones describe containers only."""
    for asked in (name, name.split("|")[0]):
        described = await _within(CONNECT_SECONDS, _ask(connection, "COMMAND", "INFO", asked))
        entry = described[0] if isinstance(described, list) and described else None
        if isinstance(entry, list) and len(entry) > 2:
            return Description(_words(entry[2]), _words(entry[6] if len(entry) > 6 else []))
    return None


def _words(listed: object) -> frozenset[str]:
    words = listed if isinstance(listed, list | set) else []
    return frozenset(word.decode("ascii", "replace").lower() for word in words)


async def _ask(connection: Connection, *words: str) -> object:
    await connection.send_command(*words, check_health=False)
    return await connection.read_response(disable_decoding=True)


async def _within(seconds: float, work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(seconds):
        return await work


def _reply(value: object) -> Reply:
    plain = jsonable(value, lambda _: None)
    if not isinstance(plain, list):
        cut, truncated = fit(plain)
        return Reply(value=cut, truncated=truncated)
    shown, used, truncated = list[JsonValue](), 0, len(plain) > MAX_ROWS
    for element in plain[:MAX_ROWS]:
        cut, was_cut = fit(element)
        used += size_of(cut)
        if used > MAX_ANSWER_BYTES:
            return Reply(value=shown, truncated=True)
        shown.append(cut)
        truncated = truncated or was_cut
    return Reply(value=shown, truncated=truncated)


def _told(error: exceptions.RedisError) -> DatabaseError:
    """Return the server's words; the driver's own and a cluster's name addresses."""
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
        message = "the connection was lost; whether anything was written is unknown"
        return DatabaseError(Failure.UNAVAILABLE, message)
    if str(error).startswith(("MOVED", "ASK")):
        return DatabaseError(Failure.MISCONFIGURED, "the server is part of a cluster")
    denied = isinstance(error, exceptions.NoPermissionError)
    return DatabaseError(Failure.DENIED if denied else Failure.STATEMENT, str(error))
