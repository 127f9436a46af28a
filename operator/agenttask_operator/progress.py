"""How far a run has come that has not ended: one word and one sentence.

Pure. A pending pod is never Running: running begins when the agent's container does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from agenttask_api import names
from agenttask_api.reasons import Kind, Reason, meaning
from agenttask_api.status import Attempt, Phase
from agenttask_operator.blockers import Note, find_blocker
from agenttask_operator.clock import format_time, parse_time
from agenttask_operator.observed import Job, Pod
from agenttask_operator.outcome import outcome_of_attempt, read_digest


@dataclass(frozen=True)
class Progress:
    """Where the run is."""

    phase: Phase
    reason: Reason
    message: str
    scheduled: bool = False
    started: str = ""
    """When the agent first started; empty = it has not."""

    @property
    def blocked(self) -> bool:
        """Whether something stands in the way."""
        return meaning(self.reason).kind is Kind.BLOCKING


def derive_progress(
    job: Job, pods: tuple[Pod, ...], notes: tuple[Note, ...], started_before: str
) -> Progress:
    """Return how far the run of the Job has come."""
    if job.suspended:
        words = f"Job {job.key.name} waits to be admitted by queue {job.queue!r}"
        return Progress(Phase.QUEUED, Reason.QUEUE_NOT_ADMITTED, words, started=started_before)
    pod = pods[-1] if pods else None
    started = started_before or agent_started(pods)
    scheduled = bool(pod and pod.node)
    if pod and not pod.ended and pod.container(names.AGENT).running:
        words = f"the agent works in pod {pod.key.name}"
        return Progress(Phase.RUNNING, Reason.RUNNING, words, scheduled, started)
    blocker = find_blocker(pod, notes)
    if blocker and not (pod and pod.ended):
        return Progress(Phase.PENDING, blocker.reason, blocker.message, scheduled, started)
    phase, reason, words = _between(job, pod)
    return Progress(phase, reason, words, scheduled, started)


def agent_started(pods: Iterable[Pod]) -> str:
    """Return when the agent of the first attempt that got so far started; empty = none did."""
    for pod in pods:
        digest = read_digest(pod, pod.run_key)
        moment = pod.container(names.AGENT).started
        moment = moment or (parse_time(digest.started) if digest else None)
        if moment:
            return format_time(moment)
    return ""


def derive_attempts(pods: Iterable[Pod], before: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return the attempts known before and those of the pods, in order."""
    known = {a.pod_name: a for a in before}
    for pod in pods:
        number = known[pod.key.name].number if pod.key.name in known else len(known) + 1
        known[pod.key.name] = _attempt(pod, number)
    return tuple(sorted(known.values(), key=lambda a: a.number))


def _between(job: Job, pod: Pod | None) -> tuple[Phase, Reason, str]:
    if not pod:
        return Phase.PENDING, Reason.JOB_CREATED, f"Job {job.key.name} has no pod yet"
    agent, clone = pod.container(names.AGENT), pod.container(names.CLONE)
    name = pod.key.name
    if agent.exit_code is not None and not pod.ended:
        return Phase.RUNNING, Reason.PUBLISHING, f"the agent has ended in pod {name}"
    if pod.ended:
        return (
            Phase.PENDING,
            Reason.PREPARING,
            f"pod {name} has ended; the Job goes on",
        )
    if clone.running:
        return Phase.PENDING, Reason.CLONING, f"pod {name} clones the repository"
    return Phase.PENDING, Reason.PREPARING, f"pod {name} starts"


def _attempt(pod: Pod, number: int) -> Attempt:
    digest = read_digest(pod, pod.run_key)
    started = pod.container(names.AGENT).started
    finished = max((c.finished for c in pod.containers if c.finished), default=None)
    return Attempt(
        number=number,
        index=pod.index,
        pod_name=pod.key.name,
        reason=_attempt_reason(pod),
        start_time=format_time(started) if started else "",
        completion_time=format_time(finished) if finished and pod.ended else "",
        tokens=digest.input_tokens + digest.output_tokens if digest else 0,
    )


def _attempt_reason(pod: Pod) -> str:
    if not pod.ended:
        return ""
    digest = read_digest(pod, pod.run_key)
    if digest and digest.final:
        return digest.reason.value
    epoch = pod.created or datetime.fromtimestamp(0).astimezone()
    return outcome_of_attempt(pod, None, epoch).reason.value
