"""What the API server answers, read defensively: lines of a watch, errors, pauses it asks for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson

from agenttask_operator.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    Refused,
    Unauthorized,
    Unavailable,
)

Object = dict[str, Any]

MAX_ERROR_CHARACTERS = 1024


async def read_lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the lines of a watch; raises Unavailable when it is cut."""
    pending = b""
    try:
        async for chunk in response.content.iter_any():
            *whole, pending = (pending + chunk).split(b"\n")
            for line in whole:
                if line:
                    yield line
    except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        raise Unavailable(f"watch: {error!r}") from error


def read_change(line: bytes) -> tuple[str, Object]:
    """Return (type, object) of one line; raises Gone or Unavailable when it tells an error."""
    try:
        event = orjson.loads(line)
        type_, obj = event["type"], event["object"]
    except (ValueError, KeyError, TypeError) as error:
        # Not quoted: it may be the rest of a task.
        raise Unavailable(f"watch: {len(line)} bytes that are no event") from error
    if type_ == "ERROR":
        failure = Gone if obj.get("code") == 410 else Unavailable
        raise failure(f"watch: {str(obj.get('message', ''))[:MAX_ERROR_CHARACTERS]}")
    obj.get("metadata", {}).pop("managedFields", None)
    return type_, obj


def read_error(response: aiohttp.ClientResponse, what: str, body: bytes) -> ClusterError:
    """Return the error that a status of 400 or more means."""
    status = response.status
    said = _said(body)
    message = f"{what}: {status} {said.get('message', '')}"[:MAX_ERROR_CHARACTERS]
    simple: dict[int, type[ClusterError]] = {
        400: Refused,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        410: Gone,
        413: Refused,
        422: Refused,
    }
    if status in simple:
        return simple[status](message)
    if status == 401:
        return Unauthorized(message)
    # These words go to the log, and a webhook that fails may quote what it was shown.
    message = f"{what}: {status} {said.get('reason', '')}".rstrip()
    return Unavailable(message, _retry_after(response.headers.get("Retry-After", "")))


def _said(body: bytes) -> Object:
    """Return the Status that the API server sent; empty = it sent none."""
    try:
        status = orjson.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _retry_after(text: str) -> float:
    return min(float(text), 300.0) if text.isdigit() else 0.0
