"""Where everything lies, so that the same code runs in a pod and in a test's folder."""

from dataclasses import dataclass
from pathlib import Path

from agenttask_api import names


@dataclass(frozen=True)
class Places:
    """The folders of the pod; every file below them follows from these."""

    pristine: Path = Path(names.PRISTINE_DIR)
    workspace: Path = Path(names.WORKSPACE_DIR)
    checkout: Path = Path(names.CHECKOUT_DIR)
    door: Path = Path(names.DOOR_DIR)
    verifier_door: Path = Path(names.VERIFIER_DOOR_DIR)
    task: Path = Path(names.TASK_DIR)
    git_secret: Path = Path(names.GIT_SECRET_DIR)
    git_ca: Path = Path(names.GIT_CA_DIR)
    model_secret: Path = Path(names.MODEL_SECRET_DIR)
    nats_creds: Path = Path(names.NATS_CREDS_DIR)
    nats_tls: Path = Path(names.NATS_TLS_DIR)
    db_secrets: Path = Path(names.DB_SECRETS_DIR)
    termination_log: Path = Path(names.TERMINATION_LOG)
    tmp: Path = Path(names.TMP_DIR)
    home: Path = Path(names.HOME_DIR)

    @classmethod
    def below(cls, root: Path) -> "Places":
        """Return the pod's layout below a folder of the caller's own."""
        return cls(**{field: root / str(path).lstrip("/") for field, path in vars(cls()).items()})

    @property
    def task_file(self) -> Path:
        return self.task / Path(names.TASK_FILE).name

    @property
    def pristine_repo(self) -> Path:
        return self.pristine / Path(names.PRISTINE_REPO).name

    @property
    def modules(self) -> Path:
        """The bare repositories of submodules."""
        return self.pristine / "modules"

    @property
    def clone_facts(self) -> Path:
        return self.pristine / Path(names.CLONE_FACTS).name

    @property
    def clone_times(self) -> Path:
        """When the clone was at work; there only where spans are told."""
        return self.pristine / "clone-times.json"

    @property
    def incoming(self) -> Path:
        """What the agent hands in, before anything has looked at it."""
        return self.pristine / "incoming"

    @property
    def attached_mark(self) -> Path:
        """There once an agent has attached: a courier that finds it has died before."""
        return self.pristine / "attached"

    @property
    def push_mark(self) -> Path:
        """There while a push is under way, and after one that died with its courier."""
        return self.pristine / "pushing"

    @property
    def repo(self) -> Path:
        return self.workspace / Path(names.REPO_DIR).name

    @property
    def agent_remote(self) -> Path:
        return self.workspace / Path(names.AGENT_REMOTE).name

    @property
    def door_socket(self) -> Path:
        return self.door / Path(names.DOOR_SOCKET).name

    @property
    def verifier_socket(self) -> Path:
        return self.verifier_door / Path(names.VERIFIER_SOCKET).name

    @property
    def control_socket(self) -> Path:
        """Where `drain` reaches a running `serve`: the courier's own /tmp, not the door."""
        return self.tmp / "courier-control.sock"

    @property
    def ca_file(self) -> Path:
        return self.git_ca / Path(names.CA_FILE).name

    @property
    def model_key(self) -> Path:
        return self.model_secret / Path(names.MODEL_KEY_FILE).name
