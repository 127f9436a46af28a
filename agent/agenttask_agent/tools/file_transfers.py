"""The files operations on two files: compare, copy, move.

A copy is a new file: no link is followed, none is made, and what is there already is
never replaced. Comparing is git's work, on copies outside the workspace, because
its own diff would follow links in the folders above a file.
"""

import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agenttask_agent.tools import fields, textfile
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.repository import explain
from agenttask_agent.tools.workspace import (
    CREATE,
    TEMPORARY,
    Place,
    Workspace,
    explained,
    is_git_name,
)

MAX_COPY_BYTES = 64 * 1024**2
SAME, DIFFERENT = 0, 1


class DiffFiles(Params):
    """Arguments of files.diff_files."""

    file1: fields.Path
    file2: Annotated[
        fields.Path | None, Field(description="Absent = file1 against its last commit.")
    ] = None
    context_lines: Annotated[int, Field(ge=0, le=100)] = 3


def diff_files(context: ToolContext, params: DiffFiles) -> Answer:
    first = context.workspace.read(params.file1)
    if params.file2 is None:
        old, old_name = _committed(context, params.file1), f"{params.file1} (committed)"
        new, new_name = first, params.file1
    else:
        old, old_name = first, params.file1
        new, new_name = context.workspace.read(params.file2), params.file2
    for content, name in ((old, old_name), (new, new_name)):
        textfile.decode(content, name)
    hunks = _hunks(context, old, new, params.context_lines)
    output = f"--- {old_name}\n+++ {new_name}\n{hunks}" if hunks else "no difference"
    return Answer(output, {"different": bool(hunks)})


class CopyFile(Params):
    """Arguments of files.copy_file."""

    source: fields.Path
    target: Annotated[fields.Path, Field(description="Must not exist yet.")]


def copy_file(context: ToolContext, params: CopyFile) -> Answer:
    workspace = context.workspace
    with workspace.place(params.source) as source:
        file = workspace.open_at(source)
        with os.fdopen(file, "rb") as content:
            size = os.fstat(file).st_size
            if size > MAX_COPY_BYTES:
                raise ToolError(f"{params.source!r} is larger than {MAX_COPY_BYTES} bytes")
            with workspace.place(params.target, create=True) as target:
                _must_be_free(workspace, target)
                _copy(content.read(MAX_COPY_BYTES), os.fstat(file).st_mode, target)
    return Answer(f"copied {params.source} to {params.target}: {size} bytes", {"bytes": size})


class MoveFile(Params):
    """Arguments of files.move_file."""

    source: Annotated[fields.Path, Field(description="A file or a folder.")]
    target: Annotated[fields.Path, Field(description="Must not exist yet.")]


def move_file(context: ToolContext, params: MoveFile) -> Answer:
    workspace = context.workspace
    with workspace.place(params.source) as source:
        _movable(workspace, source)
        with workspace.place(params.target, create=True) as target, explained(target.path):
            _must_be_free(workspace, target)
            os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)
    return Answer(f"moved {params.source} to {params.target}")


def _committed(context: ToolContext, path: str) -> bytes:
    with context.workspace.place(path) as place:
        argv = ["cat-file", "blob", f"HEAD:{place.path}"]
    done = context.repository.run(argv, limit=2 * MAX_COPY_BYTES)
    if done.exit_code != 0:
        raise ToolError(f"{path!r} is not in the last commit")
    return done.output


def _hunks(context: ToolContext, old: bytes, new: bytes, lines: int) -> str:
    with tempfile.TemporaryDirectory(dir=context.tmp, prefix="diff-") as folder:
        paths = [Path(folder) / name for name in ("old", "new")]
        for path, content in zip(paths, (old, new), strict=True):
            path.write_bytes(content)
        argv = ["diff", "--no-index", "--no-ext-diff", "--no-textconv", "--no-color", "--text"]
        done = context.repository.run([*argv, f"--unified={lines}", "--", *map(str, paths)])
    if done.exit_code not in (SAME, DIFFERENT):
        raise ToolError(explain(done))
    text = done.output.decode("utf-8", "replace")
    return text[text.find("\n@@ ") + 1 :] if "\n@@ " in text else ""


def _must_be_free(workspace: Workspace, target: Place) -> None:
    if workspace.state(target) is not None:
        raise ToolError(f"{target.path!r} is there already")


def _copy(content: bytes, mode: int, target: Place) -> None:
    """Write beside the target and link it there: a file that appeared is not replaced."""
    temporary = f"{TEMPORARY}{secrets.token_hex(8)}"
    with explained(target.path):
        file = os.open(temporary, CREATE, 0o600, dir_fd=target.folder)
        try:
            with os.fdopen(file, "wb") as opened:
                opened.write(content)
                os.fchmod(file, stat.S_IMODE(mode) & 0o777)
            os.link(
                temporary, target.name, src_dir_fd=target.folder, dst_dir_fd=target.folder,
                follow_symlinks=False,
            )  # fmt: skip
        finally:
            os.unlink(temporary, dir_fd=target.folder)


def _movable(workspace: Workspace, source: Place) -> None:
    state = workspace.state(source)
    if state is None:
        raise ToolError(f"{source.path!r} does not exist")
    if not stat.S_ISDIR(state.st_mode):
        workspace.check_writable(source)
        return
    with workspace.folder(source.path) as folder:
        for _, folders, files, _ in os.fwalk(dir_fd=folder):
            if any(map(is_git_name, folders + files)):
                raise Denied(f"{source.path!r} contains a git repository")


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        "files",
        "diff_files",
        DiffFiles,
        diff_files,
        "Compare two files, or one with its last commit.",
        read_only=True,
    ),
    Operation("files", "copy_file", CopyFile, copy_file, "Copy a file to a new name.", edits=True),
    Operation("files", "move_file", MoveFile, move_file, "Move a file or a folder.", edits=True),
)
