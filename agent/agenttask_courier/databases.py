"""`POST /db/{connection}`: executes what the agent asks, with credentials it never sees.

Keys are read from the mounted Secrets for every request. Statements run in threads,
few at a time; each has its deadline (`agenttask_databases.execution`). The log names
the connection and how it went, never a statement or an answer.
"""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydantic_core
from aiohttp import web
from pydantic import ValidationError

from agenttask_api import names
from agenttask_api.databases import (
    MAX_REQUEST_BYTES,
    REQUEST,
    DatabaseAnswer,
    DatabaseError,
    DatabaseRequest,
    Failure,
)
from agenttask_api.spec import Connection
from agenttask_courier.errors import Refused, bad_request, too_large
from agenttask_courier.journal import log
from agenttask_databases.connection import read_connection
from agenttask_databases.execution import execute

MAX_AT_ONCE = 4
"""Statements that run at the same time; further ones wait."""
MAX_WAITING = 32
"""Requests under way, waiting ones included; an agent asks one after the other."""
STATUS = {
    Failure.UNKNOWN_CONNECTION: 404,
    Failure.WRONG_KIND: 400,
    Failure.DENIED: 403,
    Failure.STATEMENT: 422,
    Failure.TOO_LARGE: 422,
    Failure.TIMEOUT: 504,
    Failure.UNAVAILABLE: 503,
    Failure.MISCONFIGURED: 503,
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_handler(
    connections: Iterable[Connection], root: Path = Path(names.DB_SECRETS_DIR)
) -> Handler:
    """Return the handler of `POST /db/{connection}` for the task's connections."""
    known = {connection.name: connection for connection in connections}
    threads = ThreadPoolExecutor(MAX_AT_ONCE, "databases")
    places = asyncio.Semaphore(MAX_WAITING)

    async def handle(request: web.Request) -> web.StreamResponse:
        if places.locked():
            raise Refused(429, "TooManyRequests", f"more than {MAX_WAITING} at once")
        async with places:
            connection = _known(known, request.match_info["connection"])
            asked = _parse(await _read(request))
            loop = asyncio.get_running_loop()
            # When the agent hangs up, what still waits for a thread is dropped; what runs
            # ends at its deadline.
            return await _answered(loop.run_in_executor(threads, _execute, connection, root, asked))

    return handle


async def _answered(work: Awaitable[DatabaseAnswer]) -> web.Response:
    try:
        answer = await work
    except DatabaseError as error:
        raise Refused(STATUS[error.failure], error.failure.value, str(error)) from None
    body = io.BytesIO(answer.model_dump_json(by_alias=True).encode())
    return web.Response(body=body, content_type="application/json")


def _known(known: Mapping[str, Connection], name: str) -> Connection:
    if name not in known:
        there = ", ".join(known) or "none"
        message = f"there is no connection {name[:63]!r}; there are: {there}"
        raise Refused(404, Failure.UNKNOWN_CONNECTION.value, message)
    return known[name]


async def _read(request: web.Request) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > MAX_REQUEST_BYTES:
            raise too_large(MAX_REQUEST_BYTES)
    return bytes(body)


def _parse(body: bytes) -> DatabaseRequest:
    try:
        return REQUEST.validate_python(pydantic_core.from_json(body, allow_inf_nan=False))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise bad_request(f"{where}: {first['msg']}") from error
    except ValueError as error:
        raise bad_request(f"no JSON: {error}") from error


def _execute(connection: Connection, root: Path, asked: DatabaseRequest) -> DatabaseAnswer:
    started, outcome = time.monotonic(), "ok"
    try:
        return execute(read_connection(connection, root), asked)
    except DatabaseError as error:
        outcome = error.failure.value
        raise
    finally:
        seconds = round(time.monotonic() - started, 3)
        log(
            "db.request",
            connection=connection.name,
            kind=asked.kind,
            outcome=outcome,
            seconds=seconds,
        )
