"""The catalogue: every operation there is, in one table.

Dispatch, schemas, the model's tool list and `docs/tools.md` are made from it, so
what is not in here cannot be reached.
"""

from typing import Any

from agenttask_agent.tools import checks, docker, files, git, http
from agenttask_agent.tools.operation import Operation

CATALOGUE: tuple[Operation[Any], ...] = (
    *files.OPERATIONS,
    *git.OPERATIONS,
    *checks.OPERATIONS,
    *docker.OPERATIONS,
    *http.OPERATIONS,
)
