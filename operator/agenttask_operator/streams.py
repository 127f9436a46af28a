"""Streams and buckets: made where they are missing, compared where they exist, never changed.

Whoever runs NATS may have set limits and replicas of his own, and a stream holds data. A
difference is therefore told, not repaired.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StreamInfo
from nats.js.api import StreamConfig as JetStreamConfig
from nats.js.errors import BadRequestError

from agenttask_api.events import StreamConfig, artifact_bucket, artifact_stream

STREAM_IN_USE = 10058
"""JetStream's error code for a stream that exists with another configuration."""

LIST_PAGE = 256
"""Streams that JetStream lists in one answer (`JSApiListLimit` of nats-server)."""

Findings = Mapping[str, tuple[str, ...]]
"""What is wrong with which stream."""
NONE: Findings = MappingProxyType({})


async def ensure(jetstream: JetStreamContext, streams: Iterable[StreamConfig]) -> Findings:
    """Make what is missing; return what differs from the documentation, or could not be made."""
    found = {s.name: await _ensure(jetstream, s) for s in streams}
    return {name: wrong for name, wrong in found.items() if wrong}


async def compare_artifact_buckets(jetstream: JetStreamContext) -> Findings:
    """Return what differs in the namespaces' buckets, which couriers make and operators do not."""
    prefix = artifact_stream(artifact_bucket("")).name
    try:
        streams = [s.config for s in await _list(jetstream)]
    except (NATSError, TimeoutError, OSError) as error:
        return {f"{prefix}*": (_words(error),)}
    names = sorted(s.name for s in streams if s.name and s.name.startswith(prefix))
    by_name = {s.name: s for s in streams}
    wanted = {n: artifact_stream(n.removeprefix("OBJ_")) for n in names}
    found = {n: differences(wanted[n], by_name[n]) for n in names}
    return {name: wrong for name, wrong in found.items() if wrong}


def differences(wanted: StreamConfig, found: JetStreamConfig) -> tuple[str, ...]:
    """Return in words what of a stream is not as documented, where it matters to a reader."""
    ours = to_jetstream(wanted)
    # NATS spells "none" as 0 or -1, and fills in what was left out.
    pairs: dict[str, tuple[object, object]] = {
        "subjects": (sorted(ours.subjects or ()), sorted(found.subjects or ())),
        "max_age": (_seconds(ours.max_age), _seconds(found.max_age)),
        "duplicate_window": (_seconds(ours.duplicate_window), _seconds(found.duplicate_window)),
        "max_msg_size": (_limit(ours.max_msg_size), _limit(found.max_msg_size)),
        "max_msgs_per_subject": (
            _limit(ours.max_msgs_per_subject),
            _limit(found.max_msgs_per_subject),
        ),
        "max_msgs": (0, _limit(found.max_msgs)),
        "max_bytes": (0, _limit(found.max_bytes)),
        "discard": (_word(ours.discard), _word(found.discard)),
        "retention": (_word(RetentionPolicy.LIMITS), _word(found.retention)),
    }
    if wanted.bucket:
        # Without them a bucket's values cannot be replaced, or be read at once.
        pairs["allow_rollup_hdrs"] = (True, bool(found.allow_rollup_hdrs))
        pairs["allow_direct"] = (True, bool(found.allow_direct))
    return tuple(
        f"{k} is {has}, documented {want}" for k, (want, has) in pairs.items() if want != has
    )


def to_jetstream(stream: StreamConfig) -> JetStreamConfig:
    """Return the stream as nats-py creates it; buckets as its own functions would."""
    return JetStreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        max_age=stream.max_age_seconds,
        duplicate_window=stream.duplicate_window_seconds,
        max_msg_size=stream.max_message_bytes,
        max_msgs_per_subject=stream.max_messages_per_subject,
        discard=DiscardPolicy.NEW if stream.discard_new else DiscardPolicy.OLD,
        allow_direct=stream.bucket,
        allow_rollup_hdrs=stream.bucket,
        deny_delete=stream.max_messages_per_subject == 1,
    )


async def _ensure(jetstream: JetStreamContext, stream: StreamConfig) -> tuple[str, ...]:
    try:
        await jetstream.add_stream(to_jetstream(stream))
    except BadRequestError as error:
        if error.err_code != STREAM_IN_USE:
            return (_words(error),)
    except (NATSError, TimeoutError, OSError) as error:
        return (_words(error),)
    else:
        return ()
    return await _compare(jetstream, stream)


async def _compare(jetstream: JetStreamContext, stream: StreamConfig) -> tuple[str, ...]:
    try:
        info = await jetstream.stream_info(stream.name)
    except (NATSError, TimeoutError, OSError) as error:
        return (_words(error),)
    return differences(stream, info.config)


async def _list(jetstream: JetStreamContext) -> list[StreamInfo]:
    """Return all streams; NATS gives them by pages."""
    found: list[StreamInfo] = []
    while True:
        page = list(await jetstream.streams_info_iterator(len(found)))
        found += page
        if len(page) < LIST_PAGE:
            return found


def _words(error: Exception) -> str:
    said = getattr(error, "description", None) or str(error) or type(error).__name__
    return f"it could not be made or read: {said}"


def _seconds(value: float | None) -> int:
    return int(value or 0)


def _word(value: object) -> str:
    """Return the value of an enumeration; nats-py gives a plain string for what it has read."""
    return str(getattr(value, "value", value))


def _limit(value: int | None) -> int:
    return 0 if value is None or value < 0 else value
