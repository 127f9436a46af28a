"""The closed set of reasons: one word for why a task is where it is.

Each reason says whether trying again can help and what a person should do.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Where in a task's life a reason may stand."""

    PROGRESS = "progress"
    BLOCKING = "blocking"
    TERMINAL = "terminal"
    NOTICE = "notice"


class Reason(StrEnum):
    """CamelCase, as Kubernetes conditions carry it."""

    JOB_CREATED = "JobCreated"
    CLONING = "Cloning"
    PREPARING = "Preparing"
    RUNNING = "Running"
    VERIFYING = "Verifying"
    PUBLISHING = "Publishing"

    NOT_IMPLEMENTED = "NotImplemented"
    WAITING_FOR_CLASS = "WaitingForClass"
    WAITING_FOR_TASK = "WaitingForTask"
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    SUSPENDED = "Suspended"
    QUEUED = "Queued"
    QUEUE_NOT_ADMITTED = "QueueNotAdmitted"
    MODEL_AT_CAPACITY = "ModelAtCapacity"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_CREATION_DENIED = "PodCreationDenied"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    NAME_CONFLICT = "NameConflict"

    COMPLETED = "Completed"
    NO_CHANGE = "NoChange"
    VERIFICATION_FAILED = "VerificationFailed"
    POLICY_DENIED = "PolicyDenied"
    SETUP_FAILED = "SetupFailed"
    CLONE_AUTH_FAILED = "CloneAuthFailed"
    CLONE_REVISION_NOT_FOUND = "CloneRevisionNotFound"
    CLONE_FAILED = "CloneFailed"
    PUSH_REJECTED = "PushRejected"
    PUSH_INTERRUPTED = "PushInterrupted"
    BASE_MOVED = "BaseMoved"
    MODEL_ERROR = "ModelError"
    MODEL_MISUNDERSTOOD = "ModelMisunderstood"
    BUDGET_EXCEEDED = "BudgetExceeded"
    ITERATION_LIMIT = "IterationLimit"
    LOOP_DETECTED = "LoopDetected"
    CONTEXT_EXHAUSTED = "ContextExhausted"
    TOOL_FAILED = "ToolFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
    OOM_KILLED = "OOMKilled"
    WORKSPACE_FULL = "WorkspaceFull"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    JOB_LOST = "JobLost"
    RUN_INTERRUPTED = "RunInterrupted"
    NO_RESULT = "NoResult"
    NO_WINNER = "NoWinner"
    ARTIFACTS_LOST = "ArtifactsLost"
    INVALID_SPEC = "InvalidSpec"
    SUPERSEDED = "Superseded"
    CANCELLED = "Cancelled"
    INTERNAL_ERROR = "InternalError"

    NATS_UNAVAILABLE = "NATSUnavailable"
    STORE_UNAVAILABLE = "StoreUnavailable"
    TOO_LARGE = "TooLarge"
    LEDGER_UNAVAILABLE = "LedgerUnavailable"
    SUSPEND_IGNORED = "SuspendIgnored"


@dataclass(frozen=True)
class Meaning:
    """What a reason tells: its place, whether a new run can help, what to do."""

    kind: Kind
    retryable: bool
    hint: str


P, B, T, N = Kind.PROGRESS, Kind.BLOCKING, Kind.TERMINAL, Kind.NOTICE
R = Reason

MEANINGS: dict[Reason, Meaning] = {
    R.JOB_CREATED: Meaning(P, False, "the Job exists; its pod starts next"),
    R.CLONING: Meaning(P, False, "the repository is being cloned"),
    R.PREPARING: Meaning(P, False, "the pod's containers are starting"),
    R.RUNNING: Meaning(P, False, "the agent is at work; follow it with kubectl logs"),
    R.VERIFYING: Meaning(P, False, "the change is being checked on a clean checkout"),
    R.PUBLISHING: Meaning(P, False, "the outcome is being pushed and published"),
    R.NOT_IMPLEMENTED: Meaning(B, False, "remove the named field; nothing honours it yet"),
    R.WAITING_FOR_CLASS: Meaning(B, True, "create the AgentClass or correct spec.className"),
    R.WAITING_FOR_TASK: Meaning(B, True, "the referenced task must finish first"),
    R.REFERENCE_NOT_FOUND: Meaning(B, True, "create the named object in the task's namespace"),
    R.SUSPENDED: Meaning(B, True, "set spec.suspend to false to start the task"),
    R.QUEUED: Meaning(B, True, "the task waits for its turn"),
    R.QUEUE_NOT_ADMITTED: Meaning(B, True, "Kueue has not admitted the Job; see its Workload"),
    R.MODEL_AT_CAPACITY: Meaning(B, True, "the model endpoint is full; the task waits"),
    R.MODEL_UNAVAILABLE: Meaning(B, True, "the model endpoint does not answer; check it"),
    R.QUOTA_EXCEEDED: Meaning(B, True, "raise the ResourceQuota or lower spec.limits.resources"),
    R.POD_CREATION_DENIED: Meaning(B, True, "an admission rule refuses the pod; see the message"),
    R.UNSCHEDULABLE: Meaning(B, True, "no node fits the pod; add room or lower its requests"),
    R.IMAGE_PULL_FAILED: Meaning(B, True, "check the image name and imagePullSecrets of the class"),
    R.CONTAINER_CONFIG_ERROR: Meaning(B, True, "create the missing Secret or ConfigMap"),
    R.NAME_CONFLICT: Meaning(B, True, "delete or rename the foreign Job of that name"),
    R.COMPLETED: Meaning(T, False, "done"),
    R.NO_CHANGE: Meaning(T, True, "make the prompt more specific, or set output.mode: None"),
    R.VERIFICATION_FAILED: Meaning(T, True, "read the verify output in the report, then re-run"),
    R.POLICY_DENIED: Meaning(T, False, "the change touches what policy forbids; see the message"),
    R.SETUP_FAILED: Meaning(T, True, "fix the named setup step"),
    R.CLONE_AUTH_FAILED: Meaning(T, False, "check the Secret named in repo.credentialsRef"),
    R.CLONE_REVISION_NOT_FOUND: Meaning(
        T, False, "check repo.revision: no such branch, tag or commit"
    ),
    R.CLONE_FAILED: Meaning(T, True, "check that repo.url can be reached from the cluster"),
    R.PUSH_REJECTED: Meaning(T, True, "the git server refused the push; see the message"),
    R.PUSH_INTERRUPTED: Meaning(
        T, True, "look whether the branch has the named commit; re-run if it does not"
    ),
    R.BASE_MOVED: Meaning(T, True, "the branch changed meanwhile; re-run on the new base"),
    R.MODEL_ERROR: Meaning(T, True, "the model endpoint failed; check it, then re-run"),
    R.MODEL_MISUNDERSTOOD: Meaning(
        T, True, "the model's replies could not be used; try another model"
    ),
    R.BUDGET_EXCEEDED: Meaning(T, True, "raise constraints.maxModelTokens or maxOperations"),
    R.ITERATION_LIMIT: Meaning(T, True, "raise constraints.maxIterations or split the task"),
    R.LOOP_DETECTED: Meaning(T, True, "the model repeated itself; rephrase the prompt"),
    R.CONTEXT_EXHAUSTED: Meaning(T, True, "use a model with a longer context, or a smaller task"),
    R.TOOL_FAILED: Meaning(T, True, "a step of the plan failed; see the operations"),
    R.DEADLINE_EXCEEDED: Meaning(T, True, "raise limits.activeDeadlineSeconds"),
    R.START_DEADLINE_EXCEEDED: Meaning(
        T, True, "the agent never started; the message names the cause"
    ),
    R.OOM_KILLED: Meaning(T, True, "raise limits.resources.limits.memory"),
    R.WORKSPACE_FULL: Meaning(T, True, "raise limits.workspaceSize"),
    R.EVICTED: Meaning(T, True, "the node evicted the pod; re-run"),
    R.NODE_LOST: Meaning(T, True, "the node went away; re-run"),
    R.JOB_LOST: Meaning(T, True, "somebody deleted the Job; re-run if you want the work done"),
    R.RUN_INTERRUPTED: Meaning(T, True, "this run was started before and left no outcome; re-run"),
    R.NO_RESULT: Meaning(T, True, "the agent ended without a result; see its log"),
    R.NO_WINNER: Meaning(T, True, "no candidate passed the checks"),
    R.ARTIFACTS_LOST: Meaning(T, True, "the outcome is known but its files are lost"),
    R.INVALID_SPEC: Meaning(T, False, "correct the field that the message names"),
    R.SUPERSEDED: Meaning(T, False, "spec.runID was changed; a newer run replaced this one"),
    R.CANCELLED: Meaning(T, False, "cancelled as asked"),
    R.INTERNAL_ERROR: Meaning(T, True, "a fault of ours; please report it with the operator's log"),
    R.NATS_UNAVAILABLE: Meaning(N, True, "events wait until NATS can be reached"),
    R.STORE_UNAVAILABLE: Meaning(N, True, "NATS did not take the artifacts in time"),
    R.TOO_LARGE: Meaning(N, False, "an artifact is larger than artifacts.maxBytes"),
    R.LEDGER_UNAVAILABLE: Meaning(N, True, "the run-once ledger could not be asked"),
    R.SUSPEND_IGNORED: Meaning(N, False, "a started task cannot be suspended; use spec.cancel"),
}

RERUN_HINT = "to run again change spec.runID"
"""Ends every terminal message of a failed run."""


def meaning(reason: Reason) -> Meaning:
    """Return what a reason tells."""
    return MEANINGS[reason]
