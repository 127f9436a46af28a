"""Databases in a local run: executed in this process, without a door.

The same package does it as in the courier. The only module here that imports it, and
only a local run imports this module: in a pod the agent must not even know how.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agenttask_api.databases import DatabaseAnswer, DatabaseError, DatabaseRequest, Failure
from agenttask_api.spec import Connection
from agenttask_databases.connection import read_connection
from agenttask_databases.execution import execute


class LocalDatabases:
    """Executes them itself; `root` has one folder of keys per connection."""

    def __init__(self, connections: Iterable[Connection], root: Path) -> None:
        self._connections = {connection.name: connection for connection in connections}
        self._root = root

    def execute(self, name: str, request: DatabaseRequest) -> DatabaseAnswer:
        """Return the database's answer; raises DatabaseError."""
        connection = self._connections.get(name)
        if connection is None:
            known = ", ".join(self._connections) or "none"
            message = f"there is no connection {name[:63]!r}; there are: {known}"
            raise DatabaseError(Failure.UNKNOWN_CONNECTION, message)
        config = read_connection(connection, self._root)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(execute, config, request).result()
