"""The run-once ledger in NATS KV: who begins a run writes it down first.

An entry is created only where there is none and changed only in the revision that was read,
so of two writers one learns of the other. Nothing here decides what an entry means. NATS is
never waited for longer than a few seconds; then the ledger counts as out of reach.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import ValidationError

from agenttask_api.ledger import BUCKET, LedgerEntry
from agenttask_operator.actions import Record
from agenttask_operator.facts import Recorded

log = logging.getLogger(__name__)

ASK_SECONDS = 1.5
FINISH_TRIES = 3

T = TypeVar("T")


class Connection(Protocol):
    """The part of the outbox that the ledger needs."""

    async def reachable(self) -> bool:
        """Say whether NATS can be asked now."""

    def jetstream(self) -> JetStreamContext:
        """Return what speaks to JetStream."""


class Ledger:
    """Reads and writes entries; says so when it cannot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, key: str) -> Recorded:
        """Return the entry of that key, if there is one."""
        return await self._asked(lambda bucket: _read(bucket, key), _unreachable(key))

    async def begin(self, record: Record) -> Recorded:
        """Write the entry where there is none; return the one that is there then."""

        async def create(bucket: KeyValue) -> Recorded:
            try:
                revision = await bucket.create(record.key, _payload(record.entry))
            except KeyWrongLastSequenceError:
                return await _read(bucket, record.key)
            return Recorded(record.key, record.entry, revision)

        return await self._asked(create, _unreachable(record.key))

    async def mark_created(self, known: Recorded) -> Recorded:
        """Write down that the Job exists; what cannot be written is known from the Job itself."""
        if not known.entry:
            return known
        entry = known.entry.model_copy(update={"job_created": True})

        async def update(bucket: KeyValue) -> Recorded:
            revision = await bucket.update(known.key, _payload(entry), known.revision)
            return Recorded(known.key, entry, revision)

        return await self._asked(update, known)

    async def withdraw(self, known: Recorded) -> Recorded:
        """Remove the entry of a run whose Job was refused, so that it may yet begin."""

        async def delete(bucket: KeyValue) -> Recorded:
            await bucket.delete(known.key, last=known.revision)
            return Recorded(known.key)

        return await self._asked(delete, known)

    async def finish(self, record: Record) -> bool:
        """Say whether the ledger has an outcome of this run; the first one stays."""

        async def put(bucket: KeyValue) -> bool:
            for _ in range(FINISH_TRIES):
                known = await _read(bucket, record.key)
                if known.entry and known.entry.outcome and known.entry.uid == record.entry.uid:
                    return True
                if await _replace(bucket, record, known):
                    return True
            return False

        return await self._asked(put, False)

    async def _asked(self, ask: Callable[[KeyValue], Awaitable[T]], otherwise: T) -> T:
        if not await self._connection.reachable():
            return otherwise
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await ask(_bucket(self._connection.jetstream()))
        except (NATSError, TimeoutError, OSError) as error:
            log.warning("the run-once ledger cannot be used: %r", error)
            return otherwise


def _bucket(jetstream: JetStreamContext) -> KeyValue:
    """Return the bucket without a question to the server: it was ensured at the connection."""
    return KeyValue(BUCKET, f"KV_{BUCKET}", f"$KV.{BUCKET}.", jetstream, direct=True)


def _unreachable(key: str) -> Recorded:
    return Recorded(key, reachable=False)


async def _read(bucket: KeyValue, key: str) -> Recorded:
    try:
        found = await bucket.get(key)
    except KeyNotFoundError:
        return Recorded(key)
    try:
        entry = LedgerEntry.model_validate_json(found.value or b"")
    except ValidationError:
        log.error("the ledger's entry %s is not one; the run counts as not recorded", key)
        return Recorded(key, None, found.revision or 0)
    return Recorded(key, entry, found.revision or 0)


async def _replace(bucket: KeyValue, record: Record, known: Recorded) -> bool:
    started = known.entry.started if known.entry and not known.entry.outcome else ""
    entry = record.entry.model_copy(update={"started": started or record.entry.started})
    try:
        if known.revision:
            await bucket.update(record.key, _payload(entry), known.revision)
        else:
            await bucket.create(record.key, _payload(entry))
    except KeyWrongLastSequenceError:
        return False
    return True


def _payload(entry: LedgerEntry) -> bytes:
    return entry.model_dump_json(by_alias=True, exclude_defaults=True).encode()
