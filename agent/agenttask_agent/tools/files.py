"""The files family: read, write, edit, list, inspect."""

import fnmatch
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from agenttask_agent.tools import editing, fields, file_patches, file_transfers, textfile
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.search import SearchInFiles, search_in_files
from agenttask_agent.tools.workspace import DIRECTORY, Workspace, is_git_name, split

MAX_ENTRIES = 2000
KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


class ReadFile(Params):
    """Arguments of files.read_file."""

    path: fields.Path
    start: Annotated[fields.Line, Field(description="First line, from 1.")] = 1
    end: Annotated[fields.Line | None, Field(description="Last line; absent = to the end.")] = None


def read_file(context: ToolContext, params: ReadFile) -> Answer:
    text = textfile.decode(context.workspace.read(params.path), params.path).text
    lines = text.split("\n")
    total = len(lines) - (1 if lines[-1] == "" else 0)
    end = total if params.end is None else min(params.end, total)
    if params.start > max(1, total) or (params.end or params.start) < params.start:
        raise ToolError(f"{params.path!r} has {total} lines; there is no line {params.start}")
    if params.start == 1 and end == total:
        return Answer(text, {"lines": total})
    shown = "\n".join(lines[params.start - 1 : end])
    return Answer(shown, {"lines": total, "start": params.start, "end": end})


class WriteFile(Params):
    """Arguments of files.write_file."""

    path: fields.Path
    content: Annotated[fields.Text, Field(description="The complete new content.")]
    create_dirs: Annotated[bool, Field(description="Create missing folders.")] = True


def write_file(context: ToolContext, params: WriteFile) -> Answer:
    with context.workspace.place(params.path, create=params.create_dirs) as place:
        exists = context.workspace.state(place) is not None
        old = _existing(context.workspace.read_at(place), params.path) if exists else None
        content = _in_style(old, params.content)
        context.workspace.write_at(place, content)
    verb = "replaced" if exists else "created"
    return Answer(f"{verb} {params.path}: {len(content)} bytes", {"bytes": len(content)})


class AppendFile(Params):
    """Arguments of files.append_file."""

    path: fields.Path
    content: Annotated[fields.Text, Field(description="Added after the last line.")]


def append_file(context: ToolContext, params: AppendFile) -> Answer:
    with context.workspace.place(params.path) as place:
        old = textfile.decode(context.workspace.read_at(place), params.path)
        glue = "" if not old.text or old.text.endswith("\n") else "\n"
        new = old.with_text(old.text + glue + params.content)
        context.workspace.write_at(place, new.encode())
    return Answer(f"appended {len(params.content)} characters to {params.path}")


class EditFile(Params):
    """Arguments of files.edit_file."""

    path: fields.Path
    search: Annotated[
        fields.Text, Field(min_length=1, description="The text to replace, as it is in the file.")
    ]
    replace: Annotated[fields.Text, Field(description="What takes its place.")]
    expected_count: Annotated[
        int, Field(ge=1, le=1000, description="In how many places the text is.")
    ] = 1


def edit_file(context: ToolContext, params: EditFile) -> Answer:
    search, replace = (t.replace("\r\n", "\n") for t in (params.search, params.replace))
    if search == replace:
        raise ToolError("search and replace are the same text")
    with context.workspace.place(params.path) as place:
        old = textfile.decode(context.workspace.read_at(place), params.path)
        new = editing.edit(old.text, search, replace, params.expected_count)
        context.workspace.write_at(place, old.with_text(new.text).encode())
    found = {"replacements": new.count, "matching": new.matching}
    return Answer(f"edited {params.path}: {new.count} replaced ({new.matching} match)", dict(found))


class ListFiles(Params):
    """Arguments of files.list_files."""

    path: fields.Path = "."
    recursive: bool = False
    pattern: Annotated[
        str | None, Field(max_length=256, description="Glob on name or path, like *.py.")
    ] = None


def list_files(context: ToolContext, params: ListFiles) -> Answer:
    base = "/".join(split(params.path))
    with context.workspace.folder(params.path) as folder:
        entries = _entries(folder, base, params.recursive)
        wanted = (e for e in entries if not params.pattern or _matches(e, params.pattern))
        shown = [entry for entry, _ in zip(wanted, range(MAX_ENTRIES + 1), strict=False)]
    cut = len(shown) > MAX_ENTRIES
    shown = sorted(shown[:MAX_ENTRIES])
    return Answer("\n".join(shown) or "(nothing)", {"entries": len(shown)}, truncated=cut)


class FileInfo(Params):
    """Arguments of files.file_info."""

    path: fields.Path


def file_info(context: ToolContext, params: FileInfo) -> Answer:
    with context.workspace.place(params.path) as place:
        state = context.workspace.state(place)
        if state is None:
            raise ToolError(f"{params.path!r} does not exist")
        facts = _facts(state)
        if facts["type"] == "file" and state.st_size:
            facts |= _content_facts(context.workspace, params.path)
        if facts["type"] == "link":
            facts["target"] = os.readlink(place.name, dir_fd=place.folder)
    return Answer("\n".join(f"{key}: {value}" for key, value in facts.items()), facts)


class Mkdir(Params):
    """Arguments of files.mkdir."""

    path: fields.Path
    parents: Annotated[bool, Field(description="Create missing parents.")] = False


def mkdir(context: ToolContext, params: Mkdir) -> Answer:
    created = context.workspace.make_folder(params.path, parents=params.parents)
    return Answer(f"{'created' if created else 'was there already:'} {params.path}")


class DeleteFile(Params):
    """Arguments of files.delete_file."""

    path: fields.Path
    recursive: Annotated[bool, Field(description="Delete a folder with all in it.")] = False


def delete_file(context: ToolContext, params: DeleteFile) -> Answer:
    context.workspace.delete(params.path, recursive=params.recursive)
    return Answer(f"deleted {params.path}")


def _existing(content: bytes, path: str) -> textfile.TextFile:
    """Return the old file as text; a binary one has no style to keep."""
    try:
        return textfile.decode(content, path)
    except ToolError:
        return textfile.TextFile("")


def _in_style(old: textfile.TextFile | None, content: str) -> bytes:
    if old is None:
        return textfile.TextFile(content).encode()
    glue = "\n" if old.text.endswith("\n") and content and not content.endswith("\n") else ""
    return old.with_text(content + glue).encode()


def _entries(folder: int, base: str, recursive: bool) -> Iterator[str]:
    """Return paths, folders with a slash at the end, level by level, without `.git`."""
    pending = [base]
    while pending:
        prefix = pending.pop(0)
        for name, is_folder in _scan(folder, prefix.removeprefix(base).strip("/")):
            path = f"{prefix}/{name}" if prefix else name
            yield f"{path}/" if is_folder else path
            if is_folder and recursive:
                pending.append(path)


def _scan(folder: int, below: str) -> list[tuple[str, bool]]:
    """Return the sorted names in a folder below an open one, no link followed."""
    current = os.dup(folder)
    try:
        for part in below.split("/") if below else []:
            entered = os.open(part, DIRECTORY, dir_fd=current)
            os.close(current)
            current = entered
        with os.scandir(current) as found:
            pairs = [(e.name, e.is_dir(follow_symlinks=False)) for e in found]
    except OSError:
        return []
    finally:
        os.close(current)
    return sorted(pair for pair in pairs if not is_git_name(pair[0]))


def _matches(entry: str, pattern: str) -> bool:
    path = entry.rstrip("/")
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.split("/")[-1], pattern)


def _facts(state: os.stat_result) -> dict[str, object]:
    changed = datetime.fromtimestamp(state.st_mtime, UTC).isoformat(timespec="seconds")
    return {
        "type": KINDS.get(stat.S_IFMT(state.st_mode), "special"),
        "size": state.st_size,
        "mode": f"{stat.S_IMODE(state.st_mode):03o}",
        "modified": changed,
    }


def _content_facts(workspace: Workspace, path: str) -> dict[str, object]:
    content = workspace.read(path)
    binary = textfile.is_binary(content)
    return {"binary": True} if binary else {"binary": False, "lines": len(content.splitlines())}


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        "files",
        "read_file",
        ReadFile,
        read_file,
        "Read a text file, whole or from line start to line end.",
        read_only=True,
        joins=True,
    ),
    Operation(
        "files",
        "write_file",
        WriteFile,
        write_file,
        "Create a file or replace its whole content.",
        edits=True,
    ),
    Operation(
        "files",
        "append_file",
        AppendFile,
        append_file,
        "Add text after the last line of an existing file.",
        edits=True,
    ),
    Operation(
        "files",
        "edit_file",
        EditFile,
        edit_file,
        "Replace a text that is in the file exactly expected_count times.",
        edits=True,
    ),
    Operation(
        "files",
        "search_in_files",
        SearchInFiles,
        search_in_files,
        "Search file contents with a regular expression; ignored files are left out.",
        read_only=True,
    ),
    Operation(
        "files",
        "list_files",
        ListFiles,
        list_files,
        "List a folder; folders end with a slash.",
        read_only=True,
        joins=True,
    ),
    Operation(
        "files",
        "delete_file",
        DeleteFile,
        delete_file,
        "Delete a file or a folder.",
        edits=True,
    ),
    Operation("files", "mkdir", Mkdir, mkdir, "Create a folder.", edits=True),
    Operation(
        "files",
        "file_info",
        FileInfo,
        file_info,
        "Tell type, size, mode, time and number of lines.",
        read_only=True,
        joins=True,
    ),
    *file_transfers.OPERATIONS,
    *file_patches.OPERATIONS,
)
