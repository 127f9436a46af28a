"""Names that two halves must agree on: containers, files, sockets, variables, labels.

`docs/contract.md` explains them; `tests/contract` holds both sides to them.
"""

import hashlib

GROUP = "agenttask.dev"
"""Here and not in `schema`, since a preStop hook has no time to load pydantic."""

# Containers, in their order in the pod.
CLONE = "clone"
VERIFIER = "verifier"
COURIER = "courier"
AGENT = "agent"

# Volumes and where they are mounted.
WORKSPACE_DIR = "/workspace"
PRISTINE_DIR = "/pristine"
CHECKOUT_DIR = "/checkout"
DOOR_DIR = "/door"
VERIFIER_DOOR_DIR = "/vdoor"
TASK_DIR = "/task"
HOME_DIR = "/home/agent"
TMP_DIR = "/tmp"
SHM_DIR = "/dev/shm"
GIT_SECRET_DIR = "/secrets/git"
GIT_CA_DIR = "/secrets/git-ca"
MODEL_SECRET_DIR = "/secrets/model"
NATS_CREDS_DIR = "/secrets/nats-creds"
NATS_TLS_DIR = "/secrets/nats-tls"
DB_SECRETS_DIR = "/secrets/db"
"""One folder for each of the task's connections, in the courier alone."""

# Files and sockets.
TASK_FILE = f"{TASK_DIR}/task.json"
REPO_DIR = f"{WORKSPACE_DIR}/repo"
AGENT_REMOTE = f"{WORKSPACE_DIR}/remote.git"
PRISTINE_REPO = f"{PRISTINE_DIR}/repo.git"
CLONE_FACTS = f"{PRISTINE_DIR}/clone.json"
DOOR_SOCKET = f"{DOOR_DIR}/door.sock"
VERIFIER_SOCKET = f"{VERIFIER_DOOR_DIR}/verifier.sock"
TERMINATION_LOG = "/dev/termination-log"
CA_FILE = f"{GIT_CA_DIR}/ca.crt"
MODEL_KEY_FILE = f"{MODEL_SECRET_DIR}/key"

# Environment. TASK_ID, VLLM_URL and NATS_URL keep the reference system's names.
ENV_TASK_ID = "TASK_ID"
ENV_VLLM_URL = "VLLM_URL"
ENV_NATS_URL = "NATS_URL"
ENV_POD_NAME = "POD_NAME"
ENV_POD_UID = "POD_UID"
ENV_INDEX = "JOB_COMPLETION_INDEX"
ENV_CLUSTER = "CLUSTER_ID"
ENV_REPORTS = "AGENTTASK_REPORTS"
"""Folder for JUnit XML during verify; pytest is pointed at it without being asked."""

# Annotations and labels, on the Job and its pods only: never on the task.
TASK_ANNOTATION = f"{GROUP}/task"
UNRECORDED_ANNOTATION = f"{GROUP}/unrecorded"
"""On a Job that was created while the run-once ledger could not be asked."""
LABEL_TASK = f"{GROUP}/task"
LABEL_TASK_UID = f"{GROUP}/task-uid"
LABEL_RUN_KEY = f"{GROUP}/run-key"
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
"""Kueue's own label: which LocalQueue decides when the Job may run."""
LABEL_ROLE = f"{GROUP}/role"
LABEL_CLASS = f"{GROUP}/class"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "agenttask"

# Exit codes.
EX_OK = 0
EX_FAILED = 1
EX_TEMPFAIL = 75
"""sysexits.h EX_TEMPFAIL: the only code after which a second pod may start, and
only sent before the first model call."""

GRACE_SECONDS = 60
"""terminationGracePeriodSeconds of the pod: the courier's time for its last words."""


def class_label(class_name: str) -> str:
    """Return a class's name as a label can say it; a long one ends with a hash of itself."""
    if len(class_name) <= 63:
        return class_name
    return f"{class_name[:46]}-{hashlib.sha256(class_name.encode()).hexdigest()[:16]}"


def job_name(task_name: str, uid: str, run_key: str) -> str:
    """Return the one name a Job of this run can have; at most 49 characters."""
    suffix = hashlib.sha256(f"{uid}/{run_key}".encode()).hexdigest()[:8]
    return f"{task_name[:40].rstrip('-')}-{suffix}"


def task_id(namespace: str, name: str) -> str:
    """Return the id that other systems know the task by."""
    return f"{namespace}.{name}"
