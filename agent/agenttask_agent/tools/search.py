"""files.search_in_files: ripgrep, held inside the workspace by descriptors.

ripgrep follows a link that it is given as an argument, so it is never given one: it
starts in the open folder itself, or reads the open file from its standard input.
"""

import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agenttask_agent.tools import fields
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Params
from agenttask_agent.tools.process import Finished, run_program
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.workspace import explained, split

SECONDS = 30.0
MAX_OUTPUT = 200_000
NO_HITS = 1
RIPGREP = (
    *("--no-config", "--no-ignore-global", "--no-ignore-parent", "--no-messages"),
    *("--hidden", "--glob", "!.git", "--max-filesize", "10M", "--sort", "path"),
    *("--no-heading", "--line-number", "--color", "never"),
    *("--max-columns", "300", "--max-columns-preview", "--max-count", "200"),
)

Extension = Annotated[str, Field(pattern=r"^\.?[A-Za-z0-9_+-]{1,20}$", max_length=21)]


class SearchInFiles(Params):
    """Arguments of files.search_in_files."""

    pattern: Annotated[str, Field(min_length=1, max_length=1000, description="Regular expression.")]
    path: fields.Path = "."
    extensions: Annotated[
        tuple[Extension, ...] | None, Field(max_length=20, description='Like ["py", "md"].')
    ] = None


def search_in_files(context: ToolContext, params: SearchInFiles) -> Answer:
    base = "/".join(split(params.path))
    folder_wanted = not base or _is_folder(context, params.path)
    finished = (_in_folder if folder_wanted else _in_file)(context, params)
    text = finished.output.decode("utf-8", "replace").replace("\0", " ")
    if finished.exit_code is None:
        raise ToolError(f"the search took longer than {SECONDS:g} seconds")
    if finished.exit_code > NO_HITS and not text.strip():
        raise ToolError("the search failed; is the pattern a regular expression?")
    if finished.exit_code > NO_HITS and "regex" in text:
        raise ToolError(text.strip()[:1000])
    lines = [_located(line, base, folder_wanted) for line in text.splitlines()]
    return Answer(
        "\n".join(lines) or "(no matches)", {"matches": len(lines)}, truncated=finished.truncated
    )


def _in_folder(context: ToolContext, params: SearchInFiles) -> Finished:
    with context.workspace.folder(params.path) as folder:
        os.set_inheritable(folder, False)
        argv = _program(params, ".")
        return _run(context, argv, folder, stdin=os.open(os.devnull, os.O_RDONLY))


def _in_file(context: ToolContext, params: SearchInFiles) -> Finished:
    with context.workspace.place(params.path) as place:
        return _run(context, _program(params, "-"), "/", stdin=context.workspace.open_at(place))


def _run(context: ToolContext, argv: list[str], cwd: str | int, stdin: int) -> Finished:
    try:
        return run_program(
            argv,
            cwd=cwd,
            env=context.env,
            timeout=context.timeout(SECONDS),
            limit=MAX_OUTPUT,
            stdin=stdin,
        )
    finally:
        os.close(stdin)


def _program(params: SearchInFiles, source: str) -> list[str]:
    endings = [extension.lstrip(".") for extension in params.extensions or ()]
    ripgrep = shutil.which("rg")
    if ripgrep:
        globs = [part for e in endings for part in ("--glob", f"*.{e}")]
        return [ripgrep, *RIPGREP, *globs, "-e", params.pattern, "--", source]
    script = str(Path(__file__).with_name("pysearch.py"))
    return [sys.executable, "-I", script, params.pattern, source, *(f".{e}" for e in endings)]


def _is_folder(context: ToolContext, path: str) -> bool:
    with context.workspace.place(path) as place, explained(path):
        state = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    return stat.S_ISDIR(state.st_mode)


def _located(line: str, base: str, in_folder: bool) -> str:
    if not in_folder:
        return f"{base}:{line}"
    plain = line.removeprefix("./")
    return f"{base}/{plain}" if base else plain
