"""The bucket `agent-context`: what finished tasks left, in NATS.

Records are written as messages of the outbox, like everything that tells of a run's end;
here the bucket is ensured and read.
"""

import asyncio
import logging

from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import BadRequestError, NotFoundError
from pydantic import ValidationError

from agenttask_api.contextrecord import (
    CONTEXT_AGE_SECONDS,
    CONTEXT_BUCKET,
    MAX_RECORD_BYTES,
    ContextRecord,
    record_subject,
)
from agenttask_operator.errors import StoreUnavailable
from agenttask_operator.observed import Key
from agenttask_operator.streams import STREAM_IN_USE

log = logging.getLogger(__name__)

READ_SECONDS = 1.5
HEADER_BYTES = 4096
"""NATS counts a message's headers with its payload."""


async def ensure_context_bucket(jetstream: JetStreamContext) -> None:
    """Create the bucket when it is missing; one with other settings stays as it is."""
    config = KeyValueConfig(
        bucket=CONTEXT_BUCKET,
        description="records of finished AgentTasks",
        max_value_size=MAX_RECORD_BYTES + HEADER_BYTES,
        history=1,
        ttl=CONTEXT_AGE_SECONDS,
    )
    try:
        await jetstream.create_key_value(config)
    except BadRequestError as error:
        if error.err_code != STREAM_IN_USE:
            raise
        log.info("bucket %s exists with a configuration of its own", CONTEXT_BUCKET)


async def read_record(
    jetstream: JetStreamContext, cluster_id: str, key: Key
) -> ContextRecord | None:
    """Return a task's record; raises StoreUnavailable when NATS does not say."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            found = await jetstream.get_last_msg(
                f"KV_{CONTEXT_BUCKET}", record_subject(cluster_id, *key)
            )
    except NotFoundError:
        return None
    except (NATSError, TimeoutError, OSError) as error:
        raise StoreUnavailable(f"NATS did not give the record: {error!r}") from error
    try:
        return ContextRecord.model_validate_json(found.data or b"")
    except ValidationError:
        return None
