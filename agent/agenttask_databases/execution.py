"""The one way in: one request on one connection, within its time, masked.

Nothing a driver says reaches the caller unread: what a server told stands in a
DatabaseError, everything else becomes a sentence of ours.
"""

import asyncio
from typing import assert_never

from agenttask_api.databases import (
    SPEAKS,
    DatabaseAnswer,
    DatabaseError,
    DatabaseRequest,
    Failure,
    Neo4jQuery,
    PostgresqlQuery,
    PostgresqlSchema,
    RedisCommand,
    Reply,
    Rows,
)
from agenttask_api.masking import Mask
from agenttask_databases.bounds import MAX_WIRE_BYTES, TooMuch
from agenttask_databases.connection import ConnectionConfig
from agenttask_databases.counting import CountedLoop

GRACE_SECONDS = 12.0
"""Beyond the statement's own time: to connect, and for the server to stop by itself."""


def execute(config: ConnectionConfig, request: DatabaseRequest) -> DatabaseAnswer:
    """Return what the database answers; raises DatabaseError and nothing else.

    Blocks for the request's seconds and GRACE_SECONDS at most. Belongs into a thread
    without an event loop: it brings its own, which ends with everything it opened.
    """
    mask = config.mask
    try:
        return _masked(_run(config, request), mask)
    except DatabaseError as error:
        failure = DatabaseError(error.failure, mask.text(str(error)))
    # Outside the handler, so that no unmasked error hangs on this one as its context.
    raise failure


def _run(config: ConnectionConfig, request: DatabaseRequest) -> DatabaseAnswer:
    if SPEAKS[type(request)] is not config.kind:
        message = f"connection {config.name!r} leads to {config.kind.value}"
        raise DatabaseError(Failure.WRONG_KIND, message)
    loop = CountedLoop()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(_within(request.seconds + GRACE_SECONDS, config, request))
    except Exception as error:
        raise _explained(TooMuch() if loop.exceeded else error) from None


async def _within(
    seconds: float, config: ConnectionConfig, request: DatabaseRequest
) -> DatabaseAnswer:
    async with asyncio.timeout(seconds):
        return await _dispatch(config, request)


async def _dispatch(config: ConnectionConfig, request: DatabaseRequest) -> DatabaseAnswer:
    """Import the driver only now: a run without databases never pays for it."""
    match request:
        case PostgresqlQuery():
            from agenttask_databases import postgresql

            return await postgresql.query(config, request)
        case PostgresqlSchema():
            from agenttask_databases import postgresql

            return await postgresql.schema(config, request)
        case RedisCommand():
            from agenttask_databases import keyvalue

            return await keyvalue.command(config, request)
        case Neo4jQuery():
            from agenttask_databases import graph

            return await graph.query(config, request)
        case _:
            assert_never(request)


def _explained(error: Exception) -> DatabaseError:
    match error:
        case DatabaseError():
            return error
        case TooMuch():
            size = f"the server sent more than {MAX_WIRE_BYTES} bytes"
            return DatabaseError(Failure.TOO_LARGE, f"{size}; ask for less")
        case TimeoutError():
            return DatabaseError(Failure.TIMEOUT, "the server did not answer in time")
        case UnicodeError():
            return DatabaseError(Failure.STATEMENT, "the text is no valid Unicode")
        case _:
            what = f"the database's driver failed: {type(error).__name__}"
            return DatabaseError(Failure.UNAVAILABLE, what)


def _masked(answer: DatabaseAnswer, mask: Mask) -> DatabaseAnswer:
    if isinstance(answer, Reply):
        return answer.model_copy(update={"value": mask.value(answer.value)})
    return Rows(
        columns=tuple(mask.text(column) for column in answer.columns),
        rows=tuple(tuple(mask.value(value) for value in row) for row in answer.rows),
        affected=answer.affected,
        truncated=answer.truncated,
    )
