"""The command line's connection to NATS: lists artifacts, reads a result, sends messages."""

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.errors import BucketNotFoundError, NotFoundError

import nats
from agenttask_api import events
from agenttask_api.natslogin import BadLogin, NatsLogin, connect_options
from agenttask_cli.errors import BadInput, Failed
from agenttask_cli.replaying import StoredArtifact
from agenttask_operator.messages import Message

CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Access:
    """Where NATS is, and who asks."""

    url: str
    login: NatsLogin = NatsLogin()


@contextlib.asynccontextmanager
async def connected(access: Access) -> AsyncIterator[JetStreamContext]:
    """Connect once; raises BadInput for a file that is of no use, Failed for a server that is."""
    seen: list[Exception] = []
    options = login_options(access.login)
    try:
        client = await _connect(access.url, seen, options)
    except (NATSError, OSError, TimeoutError, ValueError) as error:
        raise Failed(_words(access, seen[-1] if seen else error)) from error
    try:
        yield client.jetstream()
    except (NATSError, TimeoutError) as error:
        raise Failed(_words(access, error)) from error
    finally:
        await client.close()


async def _connect(url: str, seen: list[Exception], options: dict[str, Any]) -> Client:
    async def note(error: Exception) -> None:
        """What matters is raised, too; nats-py would print it as a traceback."""
        seen.append(error)

    return await nats.connect(
        url,
        name="agenttask-cli",
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0.1,
        connect_timeout=CONNECT_SECONDS,
        error_cb=note,
        **options,
    )


def login_options(login: NatsLogin) -> dict[str, Any]:
    """Return how nats-py is to identify itself; raises BadInput with the option to look at."""
    try:
        return connect_options(login)
    except BadLogin as error:
        raise BadInput(f"--nats-{error}") from error


def _words(access: Access, error: Exception) -> str:
    words = str(error).removeprefix("nats: ").strip("'") or type(error).__name__
    hint = "--nats-url or NATS_URL says where it is"
    if "authorization" in words.lower() or "permissions" in words.lower():
        hint = "--nats-creds, --nats-nkey or --nats-cert says who asks"
    elif isinstance(error, ssl.SSLError):
        hint = "--nats-ca names the authority of its certificate, --nats-cert yours"
    return f"NATS at {_bare(access.url)}: {words}; {hint}"


def _bare(url: str) -> str:
    """Return the address without what may be a password."""
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


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
        headers = found.headers or {}
        same = headers.get("Nats-Msg-Id") == dict(message.headers)["Nats-Msg-Id"]
        if same and found.data:
            return replace(message, payload=found.data, headers=tuple(headers.items()))
    return message


def _hex(digest: str) -> str:
    """Return NATS's `SHA-256=<base64>` as the status writes checksums."""
    return base64.urlsafe_b64decode(digest.partition("=")[2] or "").hex()
