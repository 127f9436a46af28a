"""What every operation may use. Handlers reach nothing that is not in here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agenttask_agent.tools.databases import Databases
from agenttask_agent.tools.docker_engine import Docker
from agenttask_agent.tools.http_exchange import Http
from agenttask_agent.tools.repository import Repository
from agenttask_agent.tools.workspace import Workspace

MAX_SECONDS = 600.0


@dataclass(frozen=True)
class ToolContext:
    """The workspace, its repository, and how programs are started in it."""

    workspace: Workspace
    repository: Repository
    env: Mapping[str, str]
    """The whole environment of programs that operations start."""
    tmp: Path
    """A folder outside the workspace for reports."""
    start: str = "."
    """The folder in which programs start, relative to the workspace."""
    seconds_left: Callable[[], float] = field(default=lambda: MAX_SECONDS)
    http: Http | None = None
    """None = this run has no http operations."""
    docker: Docker | None = None
    """None = this run has no docker operations."""
    databases: Databases | None = None
    """None = this run has no db operations."""

    def timeout(self, longest: float) -> float:
        """Return the seconds a program may run: never past the end of the run."""
        return max(1.0, min(longest, self.seconds_left()))
