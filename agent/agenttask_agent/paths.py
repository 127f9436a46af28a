"""Where the agent finds its task, its door and its workspace.

The defaults are the pod's mounts; tests and local runs put others in their place.
"""

from dataclasses import dataclass
from pathlib import Path

from agenttask_api import names


@dataclass(frozen=True)
class Paths:
    """Every path outside the repository that a run touches."""

    task_file: Path = Path(names.TASK_FILE)
    door_socket: Path = Path(names.DOOR_SOCKET)
    repo: Path = Path(names.REPO_DIR)
    home: Path = Path(names.HOME_DIR)
    tmp: Path = Path(names.TMP_DIR)
    probe_cache: Path | None = None
    """A file that outlasts the run, for what the model server can do; a pod has none."""

    @property
    def remote(self) -> Path:
        """The bare repository that is the workspace's only remote."""
        return self.repo.with_name(Path(names.AGENT_REMOTE).name)

    @property
    def transcript(self) -> Path:
        """The conversation, one JSON object a line."""
        return self.tmp / "transcript.jsonl"

    @property
    def audit(self) -> Path:
        """Every attempted operation, one JSON object a line."""
        return self.tmp / "audit.jsonl"

    @property
    def tests_log(self) -> Path:
        """The whole output of all tests."""
        return self.tmp / "tests.log"

    @property
    def bundle(self) -> Path:
        """The commits that the run made."""
        return self.tmp / "change.bundle"
