"""What the agent has handed in, and whether it is still there.

The door fills it, the judge reads it. Sizes are counted here; content is not looked at.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from agenttask_api.result import AgentReport

RESERVED_NAMES = frozenset({"change.patch", "report.json", "workspace-report.json", ".", ".."})
"""Names of the courier's own artifacts, and none at all."""


@dataclass(frozen=True)
class StoredFile:
    """One artifact, on the courier's disk under a name of the courier's."""

    name: str
    path: Path
    size: int
    sha256: str


@dataclass
class Inbox:
    """One run's deliveries."""

    folder: Path
    max_artifact_bytes: int
    attached: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    delivered: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    """Judging has begun: nothing more is taken."""
    holding: bool = False
    """A lifeline is open."""
    report: AgentReport | None = None
    bundle: Path | None = None
    artifacts: dict[str, StoredFile] = field(default_factory=dict)
    _files: int = 0

    def new_file(self) -> Path:
        """Return a path of our own for the next upload."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files += 1
        return self.folder / f"{self._files}.part"

    def room(self, name: str) -> int:
        """Return how many bytes an artifact of that name may have."""
        others = sum(f.size for n, f in self.artifacts.items() if n != name)
        return self.max_artifact_bytes - others

    def keep(self, file: StoredFile) -> None:
        """Take an artifact in place of an earlier one of that name."""
        earlier = self.artifacts.get(file.name)
        self.artifacts[file.name] = file
        if earlier:
            earlier.path.unlink(missing_ok=True)

    def deliver(self, report: AgentReport) -> bool:
        """Take the report; False when there is one or judging has begun."""
        if self.report is not None or self.closed:
            return False
        self.report = report
        self.delivered.set()
        return True


def stored(name: str, path: Path) -> StoredFile:
    """Return a file of the courier's own as an artifact."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while data := source.read(1 << 20):
            digest.update(data)
    return StoredFile(name, path, path.stat().st_size, digest.hexdigest())
