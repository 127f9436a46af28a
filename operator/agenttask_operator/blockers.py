"""Why a pod does not get to run its agent: what stands in its way, in words a person can act on.

Pure. A kubelet says most of it in the container's waiting reason; a Job without a
pod, and a pod that waits for a volume, say it only in Events.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agenttask_api import names
from agenttask_api.reasons import Reason
from agenttask_operator.observed import Object, Pod

IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
)
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError"})

_MISSING = re.compile(r'(secret|configmap) "([^"]+)" not found', re.IGNORECASE)
_MISSING_KEY = re.compile(r"references non-existent (secret|config) key: (\S+)", re.IGNORECASE)

_SECRET_ARGUMENTS = {
    "git": "--from-literal=username=USER --from-literal=password=TOKEN",
    "model": "--from-literal=key=KEY",
    "nats-creds": "--from-file=nats.creds",
    "nats-tls": "--from-file=ca.crt",
    "db": "--from-literal=url=URL",
}


@dataclass(frozen=True)
class Note:
    """A Kubernetes Event about a Job or pod."""

    reason: str
    message: str


@dataclass(frozen=True)
class Blocker:
    """What stands in the way."""

    reason: Reason
    message: str


def parse_notes(events: Iterable[Object]) -> tuple[Note, ...]:
    """Return the Events, oldest first."""
    ordered = sorted(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
    return tuple(Note(str(e.get("reason", "")), str(e.get("message", ""))) for e in ordered)


def find_blocker(pod: Pod | None, notes: tuple[Note, ...]) -> Blocker | None:
    """Return what keeps the newest pod, or the missing one, from running its agent."""
    if not pod:
        return blocked_creation(*(n.message for n in notes if n.reason == "FailedCreate"))
    if pod.unschedulable:
        return Blocker(Reason.UNSCHEDULABLE, f"no node fits the pod: {pod.unschedulable}")
    return _waiting_container(pod) or _missing_volume(pod, notes) or _failed_pull(notes)


def blocked_creation(*messages: str) -> Blocker | None:
    """Return why Jobs or pods are refused, by the newest message."""
    if not messages:
        return None
    message = messages[-1]
    if "exceeded quota" in message or "must specify limits" in message:
        return Blocker(Reason.QUOTA_EXCEEDED, f"the namespace's quota refuses the pod: {message}")
    return Blocker(Reason.POD_CREATION_DENIED, f"the cluster refuses the pod: {message}")


def needs_notes(pod: Pod | None) -> bool:
    """Say whether only Events can tell why nothing happens.

    The kubelet tells a failed pull at once in an Event, in the pod's status only at its next
    look at the pod, ten seconds later or more.
    """
    if not pod:
        return True
    waiting = [c for c in pod.containers if c.waiting_reason]
    quiet = all(c.waiting_reason in ("PodInitializing", "ContainerCreating") for c in waiting)
    agent, clone = pod.container(names.AGENT), pod.container(names.CLONE)
    at_work = clone.running or agent.running or agent.exit_code is not None
    return bool(pod.node) and not pod.ended and not at_work and quiet


def _waiting_container(pod: Pod) -> Blocker | None:
    for container in pod.containers:
        words = f"container {container.name}: {container.waiting_message}".rstrip(": ")
        if container.waiting_reason in IMAGE_REASONS:
            return Blocker(Reason.IMAGE_PULL_FAILED, words)
        if container.waiting_reason in CONFIG_REASONS:
            return Blocker(Reason.CONTAINER_CONFIG_ERROR, words)
    return None


def _missing_volume(pod: Pod, notes: tuple[Note, ...]) -> Blocker | None:
    for note in reversed([n for n in notes if n.reason == "FailedMount"]):
        missing = _MISSING.search(note.message)
        if missing:
            volume = re.search(r'volume "([^"]+)"', note.message)
            words = _create_words(pod, missing[1].lower(), missing[2], volume[1] if volume else "")
            return Blocker(Reason.CONTAINER_CONFIG_ERROR, words)
        if _MISSING_KEY.search(note.message):
            return Blocker(Reason.CONTAINER_CONFIG_ERROR, note.message)
    return None


def _failed_pull(notes: tuple[Note, ...]) -> Blocker | None:
    pulls = [n for n in notes if n.reason == "Pulled" or n.message.startswith("Failed to pull")]
    if not pulls or pulls[-1].reason == "Pulled":
        return None
    return Blocker(Reason.IMAGE_PULL_FAILED, pulls[-1].message)


def _create_words(pod: Pod, kind: str, name: str, volume: str) -> str:
    namespace = pod.key.namespace
    if kind == "secret":
        purpose = re.sub(r"^db-[0-9]+$", "db", volume)
        arguments = _SECRET_ARGUMENTS.get(purpose, "--from-literal=KEY=VALUE")
        command = f"kubectl create secret generic {name} -n {namespace} {arguments}"
        return f"Secret {name!r} does not exist in namespace {namespace!r}; create it: {command}"
    command = f"kubectl create configmap {name} -n {namespace} --from-file=ca.crt"
    return f"ConfigMap {name!r} does not exist in namespace {namespace!r}; create it: {command}"
