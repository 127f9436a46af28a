"""What the git operations share: paths in, git's own words out."""

from typing import Annotated

from pydantic import Field

from agenttask_agent.tools import fields
from agenttask_agent.tools.operation import Answer
from agenttask_agent.tools.process import Finished
from agenttask_agent.tools.repository import explain
from agenttask_agent.tools.workspace import split

Paths = Annotated[tuple[fields.Path, ...], Field(max_length=200)]


def checked(paths: tuple[str, ...]) -> list[str]:
    """Return the paths in plain form, `.` for the root."""
    return ["/".join(split(path)) or "." for path in paths]


def answer(done: Finished, fallback: str = "") -> Answer:
    """Return git's output, or why it failed; `fallback` when it said nothing."""
    output = done.output.decode("utf-8", "replace").rstrip("\n")
    if done.exit_code == 0:
        return Answer(output or fallback, exit_code=0, truncated=done.truncated)
    return Answer("", exit_code=done.exit_code, error=explain(done))
