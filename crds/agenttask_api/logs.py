"""Log lines on request: `workspace.logs.<task_id>`.

Nothing is published there until somebody asks. A request on `workspace.logs.<task_id>.ask`
is answered with the newest lines and makes the courier publish each further one for as
long as was asked; asking again goes on. Lines are not stored: they pass once.
"""

from typing import Annotated

from pydantic import Field

from agenttask_api.payload import Payload
from agenttask_api.schema import OpenAPIModel

MAX_FOLLOW_SECONDS = 600
MAX_KEPT_LINES = 500
MAX_LINE_CHARACTERS = 4000


class LogLine(OpenAPIModel):
    """One line, secrets masked."""

    task_id: str
    run_key: str
    index: int = 0
    """Which agent of the task."""
    seq: int
    """Counts from 1 in each pod; a gap tells of lost lines."""
    ts: str
    """RFC 3339, UTC, milliseconds."""
    step: str
    """The agent's iteration, or the courier's step."""
    level: str
    """debug, info or error."""
    line: str


class LogsRequest(Payload):
    """What is asked; an empty message asks for the newest lines only."""

    lines: Annotated[int, Field(ge=0, le=MAX_KEPT_LINES)] = 100
    follow_seconds: Annotated[int, Field(ge=0, le=MAX_FOLLOW_SECONDS)] = 0


class LogsAnswer(OpenAPIModel):
    """The newest lines, oldest first."""

    task_id: str
    lines: tuple[LogLine, ...] = ()
    following_seconds: int = 0
    """For how long further lines are published."""
    error: str = ""


def logs_subject(task_id: str) -> str:
    """Return where lines go while somebody asks for them."""
    return f"workspace.logs.{task_id}"


def ask_subject(task_id: str) -> str:
    """Return where lines are asked for."""
    return f"{logs_subject(task_id)}.ask"
