"""Reads the records of finished tasks from NATS: the one place of the command line that does."""

import asyncio
from dataclasses import dataclass

from nats.errors import Error as NATSError
from nats.js.errors import NotFoundError
from pydantic import ValidationError

import nats
from agenttask_api.contextrecord import CONTEXT_BUCKET, ContextRecord, record_subject

CONNECT_SECONDS = 5


class StoreError(Exception):
    """The store could not be asked; the text says what to do."""


@dataclass(frozen=True)
class Store:
    """Where the records are, as the operator writes them."""

    url: str
    creds: str = ""
    """A creds file; empty = none."""
    cluster_id: str = "default"


def read_record(store: Store, namespace: str, name: str) -> ContextRecord | None:
    """Return what the task's last finished run left; raises StoreError."""
    try:
        payload = asyncio.run(_read(store, record_subject(store.cluster_id, namespace, name)))
        return ContextRecord.model_validate_json(payload) if payload else None
    except ValidationError as error:
        raise StoreError(f"the record of {namespace}.{name} is not one of this version") from error
    except (NATSError, OSError, TimeoutError, ValueError) as error:
        words = f"NATS at {store.url}: {error or type(error).__name__}"
        raise StoreError(f"{words}; set --nats-url or NATS_URL, and --nats-creds") from error


async def _read(store: Store, subject: str) -> bytes:
    connection = await nats.connect(
        store.url,
        user_credentials=store.creds or None,
        connect_timeout=CONNECT_SECONDS,
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0.1,
        error_cb=_ignore,
        name="agenttask-cli",
    )
    try:
        found = await connection.jetstream().get_last_msg(f"KV_{CONTEXT_BUCKET}", subject)
    except NotFoundError:
        return b""
    finally:
        await connection.close()
    return found.data or b""


async def _ignore(_error: Exception) -> None:
    """What matters is raised, too; nats-py would print it as a traceback."""
