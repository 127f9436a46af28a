"""How a run ended, read from its pod and its Job.

Pure. The courier's final digest wins, since only the courier judged the change. Where
it had nothing to judge (`NoResult`), and where there is no digest, the reason comes from
the facts that Kubernetes keeps, most specific first: the courier cannot see why the agent
died. A pod that failed while its Job will try again is no outcome.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import ValidationError

from agenttask_api import names
from agenttask_api.clonefacts import CloneFailure
from agenttask_api.digest import BadDigest, Digest, parse_digest
from agenttask_api.reasons import Kind, Reason, meaning
from agenttask_api.result import AgentResult
from agenttask_api.status import TERMINAL_PHASES, Phase, Verdict
from agenttask_operator.clock import parse_time
from agenttask_operator.observed import Job, Pod

NODE_LOST_REASONS = frozenset({"NodeLost", "DeletionByTaintManager", "DeletionByPodGC"})
CUT_SHORT = frozenset({Reason.NO_RESULT, Reason.PUSH_INTERRUPTED})
"""The courier's reasons of a run that was ended from outside."""
SHORT_COMMIT = 12


@dataclass(frozen=True)
class Outcome:
    """The end of a run."""

    phase: Phase
    verdict: Verdict
    reason: Reason
    message: str
    completed: datetime
    digest: Digest | None = None
    """The courier's last words, final or not."""
    pod: Pod | None = None
    """The attempt that ended the run; None when there was none."""


def decide_outcome(
    job: Job | None, pods: tuple[Pod, ...], run_key: str, now: datetime
) -> Outcome | None:
    """Return how the run ended; None while it has not, or while the Job will try again."""
    attempts = [p for p in pods if p.run_key == run_key]
    settled = _settled(job, attempts, run_key, now)
    if settled:
        return settled
    if not job or not job.finished or not all(p.ended for p in attempts):
        return None
    return outcome_of_attempt(attempts[-1] if attempts else None, job, now)


def outcome_of_attempt(pod: Pod | None, job: Job | None, now: datetime) -> Outcome:
    """Return the reason of an end without a verdict of the courier."""
    reason, message = _explain(pod, job)
    digest = read_digest(pod, pod.run_key) if pod else None
    completed = (_end(pod) if pod else None) or (job.finished_time if job else None) or now
    words = "; ".join(filter(None, (message, push_words(digest))))
    return Outcome(Phase.FAILED, Verdict.NONE, reason, words, completed, digest, pod)


def push_words(digest: Digest | None) -> str:
    """Return what is known of a push that was cut off; empty when none was under way."""
    if not digest or not digest.pushing:
        return ""
    if digest.final:
        return digest.message
    commit = digest.commit[:SHORT_COMMIT]
    return f"the push of {commit} to branch {digest.pushing} had begun and may have arrived"


def read_digest(pod: Pod, run_key: str) -> Digest | None:
    """Return the courier's digest of that run; None for none, or for one that is not sound."""
    text = pod.container(names.COURIER).message
    try:
        digest = parse_digest(text) if text else None
    except BadDigest:
        return None
    return digest if digest and digest.run_key == run_key else None


def settled_outcome(pods: Iterable[Pod], run_key: str, now: datetime) -> Outcome | None:
    """Return what the newest final digest of an ended pod says, whatever became of the Job."""
    for pod in reversed([p for p in pods if p.run_key == run_key and p.ended]):
        digest = read_digest(pod, run_key)
        if digest and digest.final:
            return _from_digest(digest, pod, now)
    return None


def outcome_of_result(result: AgentResult, now: datetime) -> Outcome:
    """Return what the courier told NATS of a run whose pod is gone."""
    change, counts, usage = result.artifacts.change, result.operation_counts, result.usage
    tests = result.artifacts.tests
    reason = Reason(result.stop_reason) if result.stop_reason in set(Reason) else None
    digest = Digest(
        run_key=result.run_key,
        final=True,
        reason=reason or Reason.INTERNAL_ERROR,
        phase=Phase.SUCCEEDED if result.success else Phase.FAILED,
        verdict=result.verdict,
        message=result.message,
        base=change.base_commit,
        commit=change.commit_sha or "",
        branch=change.branch if change.pushed else "",
        files=len(change.files_changed),
        insertions=change.insertions,
        deletions=change.deletions,
        tests=(tests.passed, tests.failed, tests.skipped) if tests else None,
        gate=result.report.gate if result.report else "",
        rigor=result.report.rigor if result.report else "",
        score=result.report.score if result.report else None,
        operations=(counts.total, counts.failed, counts.denied),
        calls=usage.model_calls,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        stored=True,
    )
    found = _from_digest(digest, None, now)
    return replace(found, completed=parse_time(result.ts) or now)


def _settled(job: Job | None, attempts: list[Pod], run_key: str, now: datetime) -> Outcome | None:
    found = settled_outcome(attempts, run_key, now)
    if not found or not found.pod:
        return None
    return (
        None if _will_be_replaced(found.pod, found.digest) and job and not job.finished else found
    )


def _will_be_replaced(pod: Pod, digest: Digest | None) -> bool:
    """Whether the Job's failure policy answers this end with a new pod."""
    unjudged = digest is not None and digest.reason in CUT_SHORT
    return unjudged and (
        pod.container(names.AGENT).exit_code == names.EX_TEMPFAIL or bool(pod.disrupted)
    )


def _from_digest(digest: Digest, pod: Pod | None, now: datetime) -> Outcome:
    phase = Phase(digest.phase) if digest.phase in TERMINAL_PHASES else Phase.FAILED
    verdict = Verdict(digest.verdict) if digest.verdict in set(Verdict) else Verdict.NONE
    reason = digest.reason
    if meaning(reason).kind is not Kind.TERMINAL:
        reason = Reason.COMPLETED if phase is Phase.SUCCEEDED else Reason.INTERNAL_ERROR
    if phase is Phase.CANCELLED:
        verdict = Verdict.NONE
    message = digest.message
    if reason is Reason.NO_RESULT and pod:
        reason, message = _why_no_result(pod) or (reason, message)
    completed = (_end(pod) if pod else None) or now
    return Outcome(phase, verdict, reason, message, completed, digest, pod)


def _why_no_result(pod: Pod) -> tuple[Reason, str] | None:
    for explain in (_evicted, _out_of_memory, _too_late, _node_lost, _model_unreachable):
        found = explain(pod)
        if found:
            return found
    return None


def _model_unreachable(pod: Pod) -> tuple[Reason, str] | None:
    """The agent attached, so it found the door, and gave up before a model had answered."""
    if pod.container(names.AGENT).exit_code != names.EX_TEMPFAIL:
        return None
    return Reason.MODEL_ERROR, "the model could not be reached"


def _end(pod: Pod) -> datetime | None:
    return max((c.finished for c in pod.containers if c.finished), default=None)


def _explain(pod: Pod | None, job: Job | None) -> tuple[Reason, str]:
    if not pod:
        return Reason.INTERNAL_ERROR, _job_words(job, "the Job ended without a pod")
    for explain in (_clone_failed, _evicted, _out_of_memory, _too_late, _node_lost, _agent_ended):
        found = explain(pod)
        if found:
            return found
    words = f"pod {pod.key.name} ended as {pod.phase} {pod.reason} {pod.message}".strip()
    return Reason.INTERNAL_ERROR, _job_words(job, words)


def _job_words(job: Job | None, words: str) -> str:
    return f"{words}; the Job says {job.reason}: {job.message}" if job and job.reason else words


def _clone_failed(pod: Pod) -> tuple[Reason, str] | None:
    clone = pod.container(names.CLONE)
    if not clone.exit_code or pod.reason in ("Evicted", "DeadlineExceeded"):
        return None
    try:
        failure = CloneFailure.model_validate(json.loads(clone.message))
    except (ValueError, ValidationError, RecursionError):
        if clone.reason == "OOMKilled":
            return Reason.OOM_KILLED, "the clone container ran out of memory"
        return Reason.CLONE_FAILED, f"clone ended with exit code {clone.exit_code}"
    terminal = meaning(failure.reason).kind is Kind.TERMINAL
    return (failure.reason if terminal else Reason.CLONE_FAILED), failure.message


def _evicted(pod: Pod) -> tuple[Reason, str] | None:
    if pod.reason != "Evicted":
        return None
    words = pod.message.lower()
    full = "emptydir" in words or "ephemeral local storage usage exceeds" in words
    return (Reason.WORKSPACE_FULL if full else Reason.EVICTED), pod.message.strip()


def _out_of_memory(pod: Pod) -> tuple[Reason, str] | None:
    agent = pod.container(names.AGENT)
    if agent.reason != "OOMKilled":
        return None
    return Reason.OOM_KILLED, "the agent container went over its memory limit"


def _too_late(pod: Pod) -> tuple[Reason, str] | None:
    if pod.reason != "DeadlineExceeded":
        return None
    return Reason.DEADLINE_EXCEEDED, pod.message.strip() or "the pod was active for too long"


def _node_lost(pod: Pod) -> tuple[Reason, str] | None:
    if pod.reason in NODE_LOST_REASONS or pod.disrupted in NODE_LOST_REASONS:
        return Reason.NODE_LOST, f"node {pod.node} went away with the pod"
    if pod.disrupted:
        return Reason.EVICTED, f"the pod was disrupted on node {pod.node}: {pod.disrupted}"
    return None


def _agent_ended(pod: Pod) -> tuple[Reason, str] | None:
    agent = pod.container(names.AGENT)
    if agent.exit_code is None:
        return None
    return Reason.NO_RESULT, f"the agent ended with exit code {agent.exit_code} and no result"
