"""The bucket `agent-context`: what finished tasks left, in NATS.

Records are written as messages of the outbox, like everything that tells of a run's end, which
also ensures the bucket; here it is read.
"""

import asyncio

from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from agenttask_api.contextrecord import (
    CONTEXT_BUCKET,
    ContextRecord,
    record_subject,
)
from agenttask_operator.errors import StoreUnavailable
from agenttask_operator.observed import Key

READ_SECONDS = 1.5


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
