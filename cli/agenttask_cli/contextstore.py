"""Reads the records of finished tasks from NATS: the one place of the command line that does."""

import contextlib

from nats.errors import Error as NATSError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from agenttask_api.contextrecord import CONTEXT_BUCKET, ContextRecord, record_subject
from agenttask_cli.errors import Failed
from agenttask_cli.natsbus import Access, connected

STREAM = f"KV_{CONTEXT_BUCKET}"


async def read_record(access: Access, cluster_id: str, namespace: str, name: str) -> ContextRecord:
    """Return what the task's last finished run left; raises BadInput and Failed."""
    async with connected(access) as jetstream:
        try:
            subject = record_subject(cluster_id, namespace, name)
            found = await jetstream.get_last_msg(STREAM, subject)
        except NotFoundError as error:
            others = await _clusters(jetstream, namespace, name)
            raise Failed(_none(cluster_id, namespace, name, others)) from error
    try:
        return ContextRecord.model_validate_json(found.data or b"")
    except ValidationError as error:
        raise Failed(f"the record of {namespace}.{name} is not one of this version") from error


async def _clusters(jetstream: JetStreamContext, namespace: str, name: str) -> list[str]:
    """Return the clusters that have a record of such a task, as far as we may know."""
    every = record_subject("any", namespace, name).replace(".any.", ".*.", 1)
    with contextlib.suppress(NATSError, TimeoutError):
        state = (await jetstream.stream_info(STREAM, subjects_filter=every)).state
        return sorted(subject.split(".")[2] for subject in state.subjects or ())
    return []


def _none(cluster_id: str, namespace: str, name: str, others: list[str]) -> str:
    words = f"no record of task {namespace}.{name} in cluster {cluster_id!r}"
    if others:
        return f"{words}, but in {', '.join(others)}: name it with --cluster-id"
    return f"{words}: it has not finished"
