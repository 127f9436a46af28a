"""The run-once ledger: what NATS KV `agent-runs` holds of each run, for as long as it exists.

Written by the operator alone. A task that is deleted and applied again unchanged has the key
of its first run, so it is told how that ended instead of being paid for twice.
"""

import re

from agenttask_api.schema import OpenAPIModel
from agenttask_api.status import AgentTaskStatus
from agenttask_api.status import ConditionType as T

BUCKET = "agent-runs"
MAX_ENTRY_BYTES = 32 * 1024
"""Twice the size that a status may have."""

OF_THE_RUN = frozenset(
    {T.ACCEPTED, T.SCHEDULED, T.STARTED, T.ARTIFACTS_STORED, T.RUN_RECORDED},
)
"""Conditions that say how far the run came; the others say what the object is like now."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]")


class LedgerEntry(OpenAPIModel):
    """One run: begun when written first, over once it has an outcome."""

    uid: str
    """Of the AgentTask object that the run belongs to; one applied again has another."""
    run_key: str
    job_name: str = ""
    job_created: bool = False
    """False for the moment between the entry and the Job, and where the Job was refused."""
    started: str = ""
    """When it was written first, RFC 3339."""
    outcome: AgentTaskStatus | None = None
    """The final status without what belongs to one object only; None while the run lasts."""


def entry_key(cluster_id: str, namespace: str, name: str, run_key: str) -> str:
    """Return the entry's key; each part is one token, whatever is in it.

    KV keys may hold letters, digits and `-/_=.` only, and a dot separates; everything else in
    a part, `=` included, becomes `=` and two hex digits for each of its UTF-8 bytes.
    """
    return ".".join(_escape(part) for part in (cluster_id, namespace, name, run_key))


def recorded_outcome(status: AgentTaskStatus) -> AgentTaskStatus:
    """Return what of a final status holds for every object that asks for the same run."""
    conditions = tuple(c for c in status.conditions if c.type in OF_THE_RUN)
    own = {"conditions": conditions, "runs": (), "outbox": None, "observed_generation": 0}
    return status.model_copy(update=own)


def _escape(part: str) -> str:
    return "".join(c if _PLAIN.fullmatch(c) else _hex(c) for c in part)


def _hex(character: str) -> str:
    return "".join(f"={byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
