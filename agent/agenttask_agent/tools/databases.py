"""Who executes the agent's statements: in a pod the courier, in a local run this process.

The agent knows the names of the task's connections and nothing else of them.
"""

from typing import Protocol

from agenttask_api.databases import DatabaseAnswer, DatabaseRequest


class Databases(Protocol):
    """Executes statements on the connections of a task."""

    def execute(self, name: str, request: DatabaseRequest) -> DatabaseAnswer:
        """Return the answer of the connection called `name`; raises DatabaseError."""
        ...
