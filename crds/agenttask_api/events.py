"""What NATS carries: subjects, streams, message ids, CloudEvents headers.

At least once, deduplicated by `Nats-Msg-Id` within the window; a consumer that
must not see a repeat beyond it keys on `ce-id`.
"""

from dataclasses import dataclass
from urllib.parse import quote

from agenttask_api.contextrecord import CONTEXT_AGE_SECONDS, CONTEXT_BUCKET, MAX_RECORD_BYTES
from agenttask_api.ledger import BUCKET as LEDGER_BUCKET
from agenttask_api.ledger import MAX_ENTRY_BYTES
from agenttask_api.schema import GROUP, OpenAPIModel
from agenttask_api.taskdocument import TaskIdentity

DUPLICATE_WINDOW_SECONDS = 2 * 3600
ARTIFACT_TTL_SECONDS = 30 * 24 * 3600
MAX_MESSAGE_BYTES = 1024 * 1024
"""NATS's own default for a message."""
HEADER_BYTES = 4096
"""NATS counts a message's headers with its payload."""


@dataclass(frozen=True)
class StreamConfig:
    """A stream as it is created when missing; one that exists is compared, never changed."""

    name: str
    subjects: tuple[str, ...]
    max_age_seconds: int
    """0 = kept for ever."""
    duplicate_window_seconds: int = DUPLICATE_WINDOW_SECONDS
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_messages_per_subject: int = -1
    """-1 = no limit; 1 = the newest alone, which makes a stream a key-value bucket."""
    discard_new: bool = False
    """A full stream refuses what comes instead of forgetting what it has."""
    bucket: bool = False
    """The stream of a KV bucket or an object store, whose last message replaces the others."""


STREAMS = (
    StreamConfig("AGENT_RESULTS", ("agent.results.>",), 30 * 24 * 3600),
    StreamConfig("AGENT_RESPONSES", ("agent.response.>",), 7 * 24 * 3600),
    StreamConfig("AGENT_DEADLETTER", ("agent.deadletter",), 30 * 24 * 3600),
    StreamConfig("CONTEXT", ("context.>",), 7 * 24 * 3600),
)
"""No stream has a limit of bytes: NATS would reserve them, and most stores are small."""

LEDGER_STREAM = StreamConfig(
    f"KV_{LEDGER_BUCKET}",
    (f"$KV.{LEDGER_BUCKET}.>",),
    0,
    duplicate_window_seconds=120,
    max_message_bytes=MAX_ENTRY_BYTES,
    max_messages_per_subject=1,
    discard_new=True,
    bucket=True,
)
"""Under the ledger's bucket. Kept for ever: a task may be applied again after any time."""

RECORDS_STREAM = StreamConfig(
    f"KV_{CONTEXT_BUCKET}",
    (f"$KV.{CONTEXT_BUCKET}.>",),
    CONTEXT_AGE_SECONDS,
    duplicate_window_seconds=120,
    max_message_bytes=MAX_RECORD_BYTES + HEADER_BYTES,
    max_messages_per_subject=1,
    discard_new=True,
    bucket=True,
)
"""Under the bucket of context records."""


def artifact_stream(bucket: str) -> StreamConfig:
    """Return the stream under an object store bucket."""
    return StreamConfig(
        f"OBJ_{bucket}",
        (f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"),
        ARTIFACT_TTL_SECONDS,
        duplicate_window_seconds=120,
        max_message_bytes=-1,
        discard_new=True,
        bucket=True,
    )


STARTED = "started"
PROGRESS = "progress"
COMPLETED = "completed"
FAILED = "failed"


def results_subject(task_id: str) -> str:
    """Return the subject of the full result."""
    return f"agent.results.{task_id}"


def response_subject(kind: str, task_id: str) -> str:
    """Return the subject of a started, progress, completed or failed event."""
    return f"agent.response.{kind}.{task_id}"


def artifact_bucket(namespace: str) -> str:
    """Return the object store bucket of a namespace: NATS permits per bucket only."""
    return f"agent-artifacts-{namespace}"


def artifact_key(identity: TaskIdentity, index: int, pod_uid: str, name: str) -> str:
    """Return the object's name: one per attempt, so no attempt overwrites another."""
    return f"{identity.name}/{identity.run_key}/{index}/{pod_uid}/{name}"


def result_id(identity: TaskIdentity, index: int, pod_uid: str) -> str:
    """Return the result's message id: courier and operator use the same one."""
    return f"{identity.uid}/{identity.run_key}/{index}/{pod_uid}/result"


def progress_id(identity: TaskIdentity, index: int, pod_uid: str, seq: int) -> str:
    """Return the message id of the courier's seq-th event."""
    return f"{identity.uid}/{identity.run_key}/{index}/{pod_uid}/{seq}"


def terminal_id(uid: str, run_key: str) -> str:
    """Return the message id of the one terminal event of a run."""
    return f"{uid}/{run_key}/terminal"


def record_id(uid: str, run_key: str) -> str:
    """Return the message id of a run's context record."""
    return f"{uid}/{run_key}/record"


def context_id(uid: str, run_key: str) -> str:
    """Return the message id of the news of a run's context record."""
    return f"{uid}/{run_key}/context"


def headers(message_id: str, kind: str, task_id: str, cluster_id: str, time: str) -> dict[str, str]:
    """Return Nats-Msg-Id and CloudEvents binary-mode headers, printable ASCII only."""
    namespace, _, name = task_id.partition(".")
    source = f"/clusters/{cluster_id}/apis/{GROUP}/namespaces/{namespace}/agenttasks/{name}"
    return {
        "Nats-Msg-Id": message_id,
        "ce-specversion": "1.0",
        "ce-id": message_id,
        "ce-source": quote(source, safe="/-._~"),
        "ce-type": f"dev.agenttask.{kind}.v1",
        "ce-subject": quote(task_id, safe="-._~"),
        "ce-time": time,
        "content-type": "application/json",
    }


class ResponseEvent(OpenAPIModel):
    """Payload of `agent.response.*`."""

    event_id: str
    ts: str
    trace_id: str
    task_id: str
    run_key: str
    kind: str
    phase: str = ""
    reason: str = ""
    message: str = ""
    verdict: str = ""
    step: str = ""
    data: dict[str, object] = {}


def trace_id(uid: str) -> str:
    """Return a W3C trace id made from the task's uid, the same in every half."""
    return uid.replace("-", "").lower().rjust(32, "0")[:32]
