"""One task's facts, sorted by run, and the clocks that run.

Pure. The planner's rules ask a `Case`; they never look at raw facts themselves.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from agenttask_api import names
from agenttask_api.ledger import LedgerEntry
from agenttask_api.reasons import Reason
from agenttask_api.spec import AgentTaskSpec
from agenttask_api.status import AgentTaskStatus, Phase, Verdict
from agenttask_operator import admission, status
from agenttask_operator.admission import Granted, InvalidTask, NoClass
from agenttask_operator.blockers import needs_notes
from agenttask_operator.clock import parse_time, seconds_between
from agenttask_operator.facts import Facts
from agenttask_operator.observed import AgentClass, Job, Pod
from agenttask_operator.outcome import Outcome, settled_outcome
from agenttask_operator.progress import agent_started
from agenttask_operator.unsent import unsent_ends

LOOK_FIRST_SECONDS = 4.0
LOOK_LAST_SECONDS = 60.0
"""Events do not wake us, so we look for new ones, more and more seldom."""
POD_PATIENCE_SECONDS = 60.0
"""A deleted pod that outlives its grace period by this is taken for lost with its node."""


@dataclass(frozen=True)
class Case:
    """One task's facts, sorted by run."""

    facts: Facts
    spec: AgentTaskSpec
    story: status.Story
    now: datetime
    job: Job | None
    """Of the run that the spec asks for."""
    pods: tuple[Pod, ...]
    """Of that run, oldest first, gone ones too."""

    @property
    def run_key(self) -> str:
        """Of the run that the spec asks for."""
        return self.spec.run_key()

    @property
    def job_name(self) -> str:
        """Of the run that the spec asks for."""
        task = self.facts.task
        return names.job_name(task.key.name, task.uid, self.run_key)

    @property
    def known(self) -> bool:
        """Whether the run's Job was created, whatever has become of it."""
        told = self.story.told and self.story.told.run and self.story.told.run.job_name
        own = self.entry and self.entry.uid == self.facts.task.uid and self.entry.job_created
        return bool(self.job or told or own or self.facts.created == self.job_name)

    @property
    def entry(self) -> LedgerEntry | None:
        """What the ledger holds of the run, as far as it was asked."""
        return self.facts.recorded.entry if self.facts.recorded else None

    @property
    def interrupted(self) -> bool:
        """Whether another object of that name began the run, and the ledger has no outcome."""
        entry = self.entry
        return bool(entry and not entry.outcome and entry.uid != self.facts.task.uid)

    @property
    def live_pods(self) -> tuple[Pod, ...]:
        """Pods of the run that may still do something."""
        return tuple(p for p in self.pods if not _over(p, self.now))

    @cached_property
    def granted(self) -> Granted | None:
        """What the run is granted; None = no class grants it anything (now)."""
        class_ = class_or_none(self)
        try:
            return admission.grant(self.spec, class_.spec) if class_ and class_.spec else None
        except InvalidTask:
            return None

    @property
    def started(self) -> str:
        """When the agent first started; empty = never."""
        return (self.story.run.start_time if self.story.run else "") or agent_started(self.pods)


def sort_facts(facts: Facts, spec: AgentTaskSpec, now: datetime) -> Case:
    """Return the facts, sorted by run."""
    key = spec.run_key()
    jobs = [j for j in facts.jobs if j.run_key == key]
    pods = tuple(p for p in facts.pods if p.run_key == key)
    last = end_old(facts, key, now)[0]
    story = status.begin_story(facts.task, spec, last, unsent_ends(facts, key, last))
    return Case(facts, spec, story, now, jobs[-1] if jobs else None, pods)


def end_old(facts: Facts, key: str, now: datetime) -> tuple[AgentTaskStatus, Outcome | None]:
    """Return the last status of the run before the one of that key, ended if it was not."""
    task = facts.task
    stored = task.status
    if not stored.run or stored.run.key == key or status.is_final(stored):
        return stored, None
    pods = tuple(p for p in facts.pods if p.run_key == stored.run.key)
    outcome = settled_outcome(pods, stored.run.key, now) or Outcome(
        Phase.CANCELLED, Verdict.NONE, Reason.SUPERSEDED, "a newer run replaced this one", now
    )
    story = status.Story(task, stored.run, stored.runs)
    return status.ended(story, None, pods, outcome, None, None, now), outcome


def class_or_none(case: Case) -> AgentClass | None:
    try:
        return admission.choose_class(case.spec, case.facts.classes)
    except NoClass:
        return None


def start_seconds(case: Case) -> int:
    found = case.granted
    asked = case.spec.limits.start_deadline_seconds
    return found.start_deadline_seconds if found else asked


def start_deadline(case: Case) -> datetime:
    """Return when the agent must have started: counted from acceptance, then from each retry."""
    run = case.story.run
    accepted = parse_time(run.accepted_time) if run else None
    begun = accepted or (case.job.created if case.job else None) or case.now
    if case.job and case.job.queue and case.job.resumed:
        begun = max(begun, case.job.resumed)
    return _newest_start(case, begun) + timedelta(seconds=start_seconds(case))


def _newest_start(case: Case, begun: datetime) -> datetime:
    """Return when the newest attempt, or the wait for it, began.

    A pod that ended with its Job being deleted is followed by no other.
    """
    if not case.pods:
        return begun
    last = case.pods[-1]
    if last.gone:
        return begun
    if last.ended and case.job and not case.job.deleting:
        return max([begun, *(c.finished for c in last.containers if c.finished)])
    return max(begun, last.created) if len(case.pods) > 1 and last.created else begun


def agent_runs(case: Case) -> bool:
    """Say whether the newest attempt has its agent, so that the run's own clocks count."""
    if not case.pods or case.pods[-1].ended:
        return False
    agent = case.pods[-1].container(names.AGENT)
    return agent.running or agent.exit_code is not None


def late_to_start(case: Case) -> bool:
    """Say whether the agent, as far as we have seen, has not started in time."""
    if not case.job or case.job.suspended or agent_runs(case):
        return False
    return start_deadline(case) <= case.now


def look_again(case: Case) -> float:
    """Return the seconds until a look is worth it: at the deadline, or when Events may tell."""
    left = (start_deadline(case) - case.now).total_seconds()
    pod = case.pods[-1] if case.pods else None
    subject = pod or case.job
    if not subject or not needs_notes(pod):
        return max(1.0, left)
    age = seconds_between(subject.created, case.now)
    return max(1.0, min(left, max(LOOK_FIRST_SECONDS, min(age / 2, LOOK_LAST_SECONDS))))


def _over(pod: Pod, now: datetime) -> bool:
    if pod.ended:
        return True
    return seconds_between(pod.deletion, now) > POD_PATIENCE_SECONDS if pod.deletion else False
