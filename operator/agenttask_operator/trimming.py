"""Make a status fit into 16 KiB: lists go first, the outcome never, and `truncated` says so.

Pure. Each write of a status is sent to everybody who watches, so size is a cost.
"""

from collections.abc import Iterable

from agenttask_api.status import MAX_STATUS_BYTES, AgentTaskStatus
from agenttask_operator.words import shorten


def fit(status: AgentTaskStatus) -> AgentTaskStatus:
    """Return the status in at most 16 KiB."""
    for cut in (_cut_files, _cut_report, _cut_refs, _cut_history):
        if status.size() <= MAX_STATUS_BYTES:
            return status
        status = cut(status).model_copy(update={"truncated": True})
    return status


def _cut_files(status: AgentTaskStatus) -> AgentTaskStatus:
    if not status.artifacts:
        return status
    few = tuple(shorten(f, 80) for f in status.artifacts.files_changed[:10])
    return _with_artifacts(status, files_changed=few)


def _cut_report(status: AgentTaskStatus) -> AgentTaskStatus:
    report = status.report.model_copy(update={"reasons": ()}) if status.report else None
    return status.model_copy(update={"report": report})


def _cut_refs(status: AgentTaskStatus) -> AgentTaskStatus:
    return _with_artifacts(status, refs=status.artifacts.refs[:5]) if status.artifacts else status


def _cut_history(status: AgentTaskStatus) -> AgentTaskStatus:
    few = {"runs": status.runs[-2:], "attempts": status.attempts[-2:]}
    status = status.model_copy(update=few)
    return _with_artifacts(status, files_changed=(), refs=()) if status.artifacts else status


def _with_artifacts(status: AgentTaskStatus, **update: Iterable[object]) -> AgentTaskStatus:
    assert status.artifacts is not None
    return status.model_copy(update={"artifacts": status.artifacts.model_copy(update=update)})
