"""Applies a patch to files: all of it or nothing.

Every file is read and every hunk fitted before the first is written. A write that
fails all the same takes back the ones before it.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from agenttask_agent.tools import fields, patch, textfile
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.workspace import MAX_WRITE_BYTES, Workspace, split


class ApplyPatch(Params):
    """Arguments of files.apply_patch."""

    patch: Annotated[fields.Text, Field(min_length=1, description="A unified diff.")]


@dataclass(frozen=True)
class Change:
    """Content before and after; None = no file."""

    path: str
    before: bytes | None
    after: bytes | None


def apply_patch(context: ToolContext, params: ApplyPatch) -> Answer:
    parts = patch.parse(params.patch)
    changes = [_change(context.workspace, part) for part in parts]
    if len({tuple(split(change.path)) for change in changes}) != len(changes):
        raise ToolError("the patch names a file twice")
    _write_all(context.workspace, changes)
    lines = [f"{_verb(change)} {change.path}" for change in changes]
    return Answer("\n".join(lines), {"files": len(changes)})


def _change(workspace: Workspace, part: patch.FilePatch) -> Change:
    split(part.path)
    before = None if part.creates else _read(workspace, part.path)
    if before is None:
        _must_be_absent(workspace, part.path)
        return Change(part.path, None, patch.apply("", part.hunks, part.path).encode())
    old = textfile.decode(before, part.path)
    hunks = [_as_stored(hunk, old.newline) for hunk in part.hunks]
    text = patch.apply(old.text, hunks, part.path)
    if part.deletes:
        if text:
            raise ToolError(f"{part.path!r} has more lines than the patch deletes")
        return Change(part.path, before, None)
    return Change(part.path, before, _bounded(part.path, old.with_text(text).encode()))


def _read(workspace: Workspace, path: str) -> bytes:
    """Read a file that may also be written: no link of either kind, nothing special."""
    with workspace.place(path) as place:
        workspace.check_writable(place)
        return workspace.read_at(place)


def _must_be_absent(workspace: Workspace, path: str) -> None:
    """Look at each folder on the way: one that is not there yet ends the question."""
    parts = split(path)
    for end in range(1, len(parts) + 1):
        with workspace.place("/".join(parts[:end])) as place:
            if workspace.state(place) is None:
                return
    raise ToolError(f"{path!r} is there already, and the patch creates it")


def _bounded(path: str, content: bytes) -> bytes:
    if len(content) > MAX_WRITE_BYTES:
        raise ToolError(f"{path!r} would have {len(content)} bytes")
    return content


def _as_stored(hunk: patch.Hunk, newline: str) -> patch.Hunk:
    """Compare with a CRLF file's lines as the model sees them."""
    if newline == "\n":
        return hunk
    old, new = ([line.replace("\r\n", "\n") for line in side] for side in (hunk.old, hunk.new))
    return patch.Hunk(hunk.start, old, new)


def _write_all(workspace: Workspace, changes: list[Change]) -> None:
    done: list[Change] = []
    try:
        for change in changes:
            _store(workspace, change.path, change.after)
            done.append(change)
    except ToolError:
        for change in reversed(done):
            _store(workspace, change.path, change.before)
        raise


def _store(workspace: Workspace, path: str, content: bytes | None) -> None:
    if content is None:
        workspace.delete(path)
    else:
        workspace.write(path, content, create_folders=True)


def _verb(change: Change) -> str:
    if change.before is None:
        return "created"
    return "deleted" if change.after is None else "patched"


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        "files",
        "apply_patch",
        ApplyPatch,
        apply_patch,
        "Apply a unified diff: all of its hunks, or nothing when one does not fit.",
        edits=True,
    ),
)
