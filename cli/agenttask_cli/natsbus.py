"""The command line's connection to NATS: lists artifacts, reads a result, sends messages."""

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace

from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.errors import BucketNotFoundError, NotFoundError

import nats
from agenttask_api import events
from agenttask_cli.errors import BadInput
from agenttask_cli.replaying import StoredArtifact
from agenttask_operator.messages import Message

CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Access:
    """Where NATS is, and who asks; empty = not so."""

    url: str
    creds: str = ""
    nkey: str = ""
    ca: str = ""


@contextlib.asynccontextmanager
async def connected(access: Access) -> AsyncIterator[JetStreamContext]:
    """Connect once; raises BadInput where that fails."""
    try:
        client = await nats.connect(
            access.url,
            name="agenttask-cli",
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            user_credentials=access.creds or None,
            nkeys_seed=access.nkey or None,
            tls=ssl.create_default_context(cafile=access.ca) if access.ca else None,
        )
    except (NATSError, OSError, TimeoutError) as error:
        raise BadInput(f"{access.url} cannot be reached: {error!r}; see --nats-url") from error
    try:
        yield client.jetstream()
    except (NATSError, TimeoutError) as error:
        raise BadInput(f"{access.url} did not answer as it should: {error!r}") from error
    finally:
        await client.close()


async def stored_artifacts(jetstream: JetStreamContext, namespace: str) -> list[StoredArtifact]:
    """Return what the namespace's bucket holds; nothing where there is no bucket."""
    try:
        store = await jetstream.object_store(events.artifact_bucket(namespace))
        found = await store.list()
    except (BucketNotFoundError, NotFoundError):
        return []
    return [
        StoredArtifact(o.name, o.size or 0, _hex(o.digest or ""), str(o.mtime or "")) for o in found
    ]


async def send(jetstream: JetStreamContext, messages: Iterable[Message]) -> list[bool]:
    """Send the messages in order; return of each whether NATS had it already."""
    known = []
    for message in messages:
        original = await _original(jetstream, message)
        ack = await jetstream.publish(
            original.subject, original.payload, headers=dict(original.headers)
        )
        known.append(bool(ack.duplicate))
    return known


async def _original(jetstream: JetStreamContext, message: Message) -> Message:
    """Return the message as its stream still holds it: the courier's result says more than ours."""
    stream = next(s for s in events.STREAMS if message.subject.startswith(s.subjects[0][:-1]))
    with contextlib.suppress(NotFoundError):
        found = await jetstream.get_last_msg(stream.name, message.subject)
        same = (found.headers or {}).get("Nats-Msg-Id") == dict(message.headers)["Nats-Msg-Id"]
        if same and found.data:
            return replace(message, payload=found.data)
    return message


def _hex(digest: str) -> str:
    """Return NATS's `SHA-256=<base64>` as the status writes checksums."""
    return base64.urlsafe_b64decode(digest.partition("=")[2] or "").hex()
