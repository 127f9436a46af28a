"""The catalogue: every operation there is, in one table.

Dispatch, schemas, the model's tool list and `docs/tools.md` are made from it, so
what is not in here cannot be reached.
"""

from typing import Any

from agenttask_agent.tools import checks, db, docker, files, git, http
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.hidden import hidden
from agenttask_agent.tools.operation import Operation

OPTIONAL = {"docker": "docker", "http": "http", "db": "databases"}
"""Families that a run has only if the context has what they work with."""

WITH_SECRET_NAMES = ("http", "docker")
"""Families whose arguments have names of their own: headers, fields, variables."""

CATALOGUE: tuple[Operation[Any], ...] = (
    *files.OPERATIONS,
    *git.OPERATIONS,
    *checks.OPERATIONS,
    *docker.OPERATIONS,
    *http.OPERATIONS,
    *db.OPERATIONS,
)


def available(context: ToolContext) -> tuple[Operation[Any], ...]:
    """Return the catalogue without the families that this run has nothing for."""
    absent = {family for family, name in OPTIONAL.items() if getattr(context, name) is None}
    return tuple(operation for operation in CATALOGUE if operation.family not in absent)


def audited(operation: Operation[Any], arguments: dict[str, object]) -> dict[str, object]:
    """Return a call's arguments as the audit may keep them."""
    return hidden(arguments) if operation.family in WITH_SECRET_NAMES else arguments
