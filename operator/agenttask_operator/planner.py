"""Decide what to do about one task.

Pure and total: facts and a moment in, actions out, for every combination of facts.
The rules are asked in order and the first that has an answer decides. Doing what a
plan says and planning again gives an empty plan, so a crash between any two actions
is harmless: the next plan goes on from what was done.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agenttask_api import events, names
from agenttask_api.reasons import Reason
from agenttask_api.spec import AgentTaskSpec
from agenttask_api.status import AgentTaskStatus, ConditionType, Phase, Verdict
from agenttask_api.taskdocument import TaskIdentity
from agenttask_operator import admission, status
from agenttask_operator.actions import (
    Action,
    CreateJob,
    DeleteJob,
    EmitEvent,
    PatchStatus,
    Publish,
    Requeue,
)
from agenttask_operator.admission import Granted, InvalidTask, NoClass
from agenttask_operator.blockers import blocked_creation, needs_notes
from agenttask_operator.clock import parse_time, seconds_between
from agenttask_operator.facts import Facts
from agenttask_operator.job import Order, build_job
from agenttask_operator.messages import terminal_messages
from agenttask_operator.observed import AgentClass, Job, Pod
from agenttask_operator.outcome import Outcome, decide_outcome, settled_outcome
from agenttask_operator.progress import agent_started, derive_progress
from agenttask_operator.taskdoc import build_document

BLOCKED_SECONDS = 3.0
"""A blocker is told once it has lasted: most pods meet one for a moment."""
PROGRESS_SECONDS = 5.0
"""Other progress is told at most this often, so that a quick task costs few writes."""
LOOK_AGAIN_SECONDS = 10.0
"""How long a deletion may take before we look whether its event was lost."""
LOOK_FIRST_SECONDS = 4.0
LOOK_LAST_SECONDS = 60.0
"""Events do not wake us, so we look for new ones, more and more seldom."""
REFUSED_SECONDS = 30.0
"""How long a refused Job is not tried again."""
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
        recorded = self.story.told and self.story.told.run and self.story.told.run.job_name
        return bool(self.job or recorded or self.facts.created == self.job_name)

    @property
    def live_pods(self) -> tuple[Pod, ...]:
        """Pods of the run that may still do something."""
        return tuple(p for p in self.pods if not _over(p, self.now))

    @property
    def started(self) -> str:
        """When the agent first started; empty = never."""
        return (self.story.run.start_time if self.story.run else "") or agent_started(self.pods)


Rule = Callable[[Case], tuple[Action, ...] | None]


def plan(facts: Facts, now: datetime) -> tuple[Action, ...]:
    """Return what to do now; empty = all is as it should be."""
    task = facts.task
    if task.deleting:
        return ()
    if not task.spec:
        return _unreadable(facts, now)
    case = sort_facts(facts, task.spec, now)
    for rule in RULES:
        actions = rule(case)
        if actions is not None:
            return actions
    return ()


def sort_facts(facts: Facts, spec: AgentTaskSpec, now: datetime) -> Case:
    """Return the facts, sorted by run."""
    key = spec.run_key()
    jobs = [j for j in facts.jobs if j.run_key == key]
    pods = tuple(p for p in facts.pods if p.run_key == key)
    story = status.begin_story(facts.task, spec, _end_old(facts, key, now)[0])
    return Case(facts, spec, story, now, jobs[-1] if jobs else None, pods)


def missing_jobs(facts: Facts, now: datetime) -> tuple[str, ...]:
    """Return the names of Jobs that were created and are not among the facts.

    A cache may lag behind; whether a paid run is lost or goes on must not depend on it.
    """
    task, stored = facts.task, facts.task.status
    if not task.spec:
        return ()
    case = sort_facts(facts, task.spec, now)
    if case.story.told and status.is_final(case.story.told):
        return ()
    recorded = stored.run.job_name if stored.run and not status.is_final(stored) else ""
    wanted = {recorded, case.job_name if case.known else ""} - {""}
    return tuple(sorted(wanted - {j.key.name for j in facts.jobs}))


def wants_notes(facts: Facts, now: datetime) -> Job | Pod | None:
    """Return the object whose Events are needed to say why nothing happens."""
    if not facts.task.spec or status.is_final(facts.task.status):
        return None
    case = sort_facts(facts, facts.task.spec, now)
    if not case.job or case.job.finished:
        return None
    pod = case.pods[-1] if case.pods else None
    subject = pod or case.job
    old = seconds_between(subject.created, now) > BLOCKED_SECONDS
    return subject if old and needs_notes(pod) else None


def wants_result(facts: Facts, now: datetime) -> tuple[str, str] | None:
    """Return run key and sha256 of the result that the status should show, if there is one."""
    task = facts.task
    if not task.spec or not facts.defaults.nats_url:
        return None
    outcome = settled_outcome(facts.pods, task.spec.run_key(), now)
    if not outcome or not outcome.digest or not outcome.digest.result_sha256:
        return None
    stored = task.status
    shown = status.is_final(stored) and stored.artifacts and stored.artifacts.files_changed
    published = stored.condition(ConditionType.EVENTS_PUBLISHED)
    if shown or (status.is_final(stored) and (not published or published.status == "True")):
        return None
    return task.spec.run_key(), outcome.digest.result_sha256


def wants_namespace(facts: Facts) -> bool:
    """Say whether the namespace's labels decide."""
    restricted = (c.spec and c.spec.allowed_namespaces for c in facts.classes.values())
    return not facts.jobs and any(restricted)


# The rules, in the order in which they are asked.


def _finished(case: Case) -> tuple[Action, ...] | None:
    """Terminal is final: nothing but a new run key leaves it."""
    told = case.story.told
    if not told or not status.is_final(told):
        return None
    return _tell_nats(case, told)


def _supersede(case: Case) -> tuple[Action, ...] | None:
    """A run that the spec no longer asks for ends, and is gone, before the new one starts."""
    task = case.facts.task
    jobs = [j for j in case.facts.jobs if j.run_key != case.run_key and not j.finished]
    pods = [p for p in case.facts.pods if p.run_key != case.run_key and not p.ended]
    if jobs or pods:
        deletes = tuple(DeleteJob(j) for j in jobs if not j.deleting)
        return (*deletes, Requeue(LOOK_AGAIN_SECONDS))
    stored = task.status
    if not stored.run or stored.run.key == case.run_key:
        return None
    return _tell_old(case, *_end_old(case.facts, case.run_key, case.now))


def _settle(case: Case) -> tuple[Action, ...] | None:
    """The run has ended by itself."""
    outcome = decide_outcome(case.job, case.pods, case.run_key, case.now)
    return _end(case, outcome) if outcome else None


def _cancel(case: Case) -> tuple[Action, ...] | None:
    """Cancelled once nothing of the run is left; at once when nothing was."""
    if not case.spec.cancel:
        return None
    if case.job and not case.job.deleting:
        return (DeleteJob(case.job), Requeue(LOOK_AGAIN_SECONDS))
    if case.job or case.live_pods:
        return (Requeue(LOOK_AGAIN_SECONDS),)
    pod = case.pods[-1] if case.pods else None
    words = "the run was cancelled" if case.known else "cancelled before it started"
    return _end(case, _outcome(case, Phase.CANCELLED, Reason.CANCELLED, words, pod))


def _lost(case: Case) -> tuple[Action, ...] | None:
    """A Job that existed is gone: never create it again, the work may have been done."""
    if case.job or not case.known:
        return None
    if case.live_pods:
        return (Requeue(LOOK_AGAIN_SECONDS),)
    pod = case.pods[-1] if case.pods else None
    if not case.started and _start_deadline(case) <= case.now:
        words = _start_words(case)
        return _end(case, _outcome(case, Phase.FAILED, Reason.START_DEADLINE_EXCEEDED, words, pod))
    words = f"Job {case.job_name} is gone before its outcome was known"
    return _end(case, _outcome(case, Phase.FAILED, Reason.JOB_LOST, words, pod))


def _give_up(case: Case) -> tuple[Action, ...] | None:
    """The agent has not started in time: the Job goes first, then it is said.

    The blocker is written down before, since it cannot be seen once the Job is gone.
    """
    if not case.job or _start_deadline(case) > case.now or _agent_runs(case):
        return None
    if case.job.deleting:
        return (Requeue(LOOK_AGAIN_SECONDS),)
    record = tuple(replace(a, delay=0.0) for a in _progress(case) if isinstance(a, PatchStatus))
    return (*record, DeleteJob(case.job), Requeue(LOOK_AGAIN_SECONDS))


def _report(case: Case) -> tuple[Action, ...] | None:
    """The run is under way: say how far it is, and look again when a clock may run out."""
    if not case.job:
        return None
    actions = _progress(case)
    return actions if _agent_runs(case) else (*actions, Requeue(_look_again(case)))


def _refuse(case: Case) -> tuple[Action, ...] | None:
    """Nothing honours a set field."""
    fields = admission.not_implemented(case.spec, _class_or_none(case))
    if not fields:
        return None
    return _wait(
        case, Reason.NOT_IMPLEMENTED, f"not implemented: {', '.join(fields)}", stalled=True
    )


def _suspend(case: Case) -> tuple[Action, ...] | None:
    """Held before its start."""
    if not case.spec.suspend:
        return None
    return _wait(case, Reason.SUSPENDED, "the task is suspended")


def _start(case: Case) -> tuple[Action, ...] | None:
    """Create the Job, or say why not."""
    try:
        order = _order(case)
    except NoClass as error:
        return _wait(case, Reason.WAITING_FOR_CLASS, str(error), delay=BLOCKED_SECONDS)
    except InvalidTask as error:
        return _end(case, _outcome(case, Phase.FAILED, Reason.INVALID_SPEC, str(error), None))
    refusal = case.facts.refusal
    if refusal and refusal.at + timedelta(seconds=REFUSED_SECONDS) > case.now:
        return _refused_job(case)
    created = EmitEvent(
        "created", case.run_key, Reason.JOB_CREATED, f"Job {order.job_name} runs the task"
    )
    return (CreateJob(build_job(order)), created)


RULES: tuple[Rule, ...] = (
    _finished,
    _supersede,
    _settle,
    _cancel,
    _lost,
    _give_up,
    _report,
    _refuse,
    _suspend,
    _start,
)


def _unreadable(facts: Facts, now: datetime) -> tuple[Action, ...]:
    """The stored spec is not one we know; without it there is no run to speak of."""
    task = facts.task
    if status.is_final(task.status) and task.status.run:
        return _patch(facts, status.refreshed(task, False, None, now))
    outcome = Outcome(Phase.FAILED, Verdict.NONE, Reason.INVALID_SPEC, task.spec_error, now)
    story = status.Story(task, None, task.status.runs)
    return _patch(facts, status.ended(story, None, (), outcome, None, None, now))


def _end(case: Case, outcome: Outcome) -> tuple[Action, ...]:
    """Tell NATS first, then write the status once, whether or not NATS took it."""
    facts = case.facts
    terminal = events.terminal_id(facts.task.uid, case.run_key)
    tried = facts.publications.get(terminal)
    published = (tried.done if tried else True) if facts.defaults.nats_url else None
    final = status.ended(
        case.story, case.job, case.pods, outcome, facts.result, published, case.now
    )
    if published is not None and not tried:
        told = terminal_messages(facts.task, final, outcome, facts.defaults)
        return (Publish(terminal, told),)
    bad = outcome.phase is not Phase.SUCCEEDED
    event = EmitEvent("ended", case.run_key, Reason(final.reason), final.message, warning=bad)
    again = () if published is not False else (Requeue(LOOK_AGAIN_SECONDS),)
    return (*_patch(facts, final, event=event), *again)


def _tell_nats(case: Case, told: AgentTaskStatus) -> tuple[Action, ...]:
    """Publish what NATS has not taken yet, and keep the status at the newest generation."""
    facts = case.facts
    waiting = told.condition(ConditionType.EVENTS_PUBLISHED)
    late = bool(facts.defaults.nats_url and waiting and waiting.status == "False")
    terminal = events.terminal_id(facts.task.uid, case.run_key)
    tried = facts.publications.get(terminal) if late else None
    done = bool(tried and tried.done)
    refresh = _patch(facts, status.refreshed(facts.task, done, facts.result, case.now))
    if not late or done:
        return refresh
    if tried and tried.retry_at and tried.retry_at > case.now:
        return (*refresh, Requeue((tried.retry_at - case.now).total_seconds()))
    outcome = settled_outcome(case.pods, case.run_key, case.now)
    return (
        *refresh,
        Publish(terminal, terminal_messages(facts.task, told, outcome, facts.defaults)),
    )


def _end_old(facts: Facts, key: str, now: datetime) -> tuple[AgentTaskStatus, Outcome | None]:
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


def _tell_old(
    case: Case, final: AgentTaskStatus, outcome: Outcome | None
) -> tuple[Action, ...] | None:
    """Publish the end of the run before, once: the new run does not wait for NATS."""
    facts = case.facts
    run = final.run
    published = final.outbox and run and final.outbox.published == run.key
    if not facts.defaults.nats_url or not run or published:
        return None
    terminal = events.terminal_id(facts.task.uid, run.key)
    if terminal in facts.publications:
        return None
    return (Publish(terminal, terminal_messages(facts.task, final, outcome, facts.defaults)),)


def _progress(case: Case) -> tuple[Action, ...]:
    assert case.job is not None
    progress = derive_progress(case.job, case.pods, case.facts.notes, case.started)
    new = status.running(case.story, case.job, case.pods, progress, case.now)
    slot = "blocked" if progress.blocked else "started"
    event = EmitEvent(slot, case.run_key, progress.reason, new.message, warning=progress.blocked)
    if progress.phase is Phase.RUNNING:
        fresh = case.facts.task.status.phase is not Phase.RUNNING
        delay = 0.0 if fresh else PROGRESS_SECONDS
        return _patch(case.facts, new, delay, event if fresh else None)
    if progress.blocked:
        return _patch(case.facts, new, BLOCKED_SECONDS, event)
    return _patch(case.facts, new, PROGRESS_SECONDS)


def _wait(
    case: Case, reason: Reason, message: str, delay: float = 0.0, stalled: bool = False
) -> tuple[Action, ...]:
    new = status.waiting(case.story, reason, message, case.now, stalled)
    event = EmitEvent("blocked", case.run_key, reason, new.message, warning=True)
    return _patch(case.facts, new, delay, event)


def _patch(
    facts: Facts, new: AgentTaskStatus, delay: float = 0.0, event: EmitEvent | None = None
) -> tuple[Action, ...]:
    patch = status.patch_for(facts.task, new)
    return (PatchStatus(new, patch, delay, event),) if patch else ()


def _refused_job(case: Case) -> tuple[Action, ...]:
    refusal = case.facts.refusal
    assert refusal is not None
    left = (refusal.at + timedelta(seconds=REFUSED_SECONDS) - case.now).total_seconds()
    if refusal.conflict:
        words = f"a Job named {case.job_name} exists and belongs to something else"
        return (*_wait(case, Reason.NAME_CONFLICT, words), Requeue(left))
    blocker = blocked_creation(refusal.message)
    reason = blocker.reason if blocker else Reason.POD_CREATION_DENIED
    return (*_wait(case, reason, refusal.message), Requeue(left))


def _order(case: Case) -> Order:
    """Return what the Job is made from; raises NoClass or InvalidTask."""
    facts, task, run = case.facts, case.facts.task, case.story.run
    class_ = admission.choose_class(case.spec, facts.classes)
    assert class_.spec is not None
    if not admission.namespace_allowed(class_.spec, facts.namespace_labels or {}):
        raise NoClass(f"AgentClass {class_.name!r} does not allow namespace {task.key.namespace!r}")
    granted = admission.grant(case.spec, class_.spec)
    identity = TaskIdentity(
        namespace=task.key.namespace,
        name=task.key.name,
        uid=task.uid,
        run_id=case.spec.run_id,
        run_key=case.run_key,
        run_number=run.number if run else 1,
    )
    return Order(
        document=build_document(identity, case.spec, class_.spec, granted),
        task=case.spec,
        class_=class_.spec,
        granted=granted,
        agent_image=facts.defaults.agent_image,
        nats_url=facts.defaults.nats_url,
        cluster_id=facts.defaults.cluster_id,
    )


def _class_or_none(case: Case) -> AgentClass | None:
    try:
        return admission.choose_class(case.spec, case.facts.classes)
    except NoClass:
        return None


def _granted(case: Case) -> Granted | None:
    class_ = _class_or_none(case)
    try:
        return admission.grant(case.spec, class_.spec) if class_ and class_.spec else None
    except InvalidTask:
        return None


def _start_seconds(case: Case) -> int:
    granted = _granted(case)
    asked = case.spec.limits.start_deadline_seconds
    return granted.start_deadline_seconds if granted else asked


def _start_deadline(case: Case) -> datetime:
    """Return when the agent must have started: counted from acceptance, then from each retry."""
    run = case.story.run
    accepted = parse_time(run.accepted_time) if run else None
    begun = accepted or (case.job.created if case.job else None) or case.now
    return _newest_start(case, begun) + timedelta(seconds=_start_seconds(case))


def _newest_start(case: Case, begun: datetime) -> datetime:
    """Return when the newest attempt, or the wait for it, began."""
    if not case.pods:
        return begun
    last = case.pods[-1]
    if last.gone:
        return begun
    if last.ended:
        return max([begun, *(c.finished for c in last.containers if c.finished)])
    return max(begun, last.created) if len(case.pods) > 1 and last.created else begun


def _agent_runs(case: Case) -> bool:
    """Say whether the newest attempt has its agent, so that the run's own clocks count."""
    if not case.pods or case.pods[-1].ended:
        return False
    agent = case.pods[-1].container(names.AGENT)
    return agent.running or agent.exit_code is not None


def _look_again(case: Case) -> float:
    """Return the seconds until a look is worth it: at the deadline, or when Events may tell."""
    left = (_start_deadline(case) - case.now).total_seconds()
    pod = case.pods[-1] if case.pods else None
    subject = pod or case.job
    if not subject or not needs_notes(pod):
        return max(1.0, left)
    age = seconds_between(subject.created, case.now)
    return max(1.0, min(left, max(LOOK_FIRST_SECONDS, min(age / 2, LOOK_LAST_SECONDS))))


def _start_words(case: Case) -> str:
    told = case.story.told
    cause = f": {told.reason}: {told.message}" if told and told.reason else ""
    return f"the agent did not start within {_start_seconds(case)} s{cause}"


def _outcome(case: Case, phase: Phase, reason: Reason, message: str, pod: Pod | None) -> Outcome:
    return Outcome(phase, Verdict.NONE, reason, message, case.now, pod=pod)


def _over(pod: Pod, now: datetime) -> bool:
    if pod.ended:
        return True
    return seconds_between(pod.deletion, now) > POD_PATIENCE_SECONDS if pod.deletion else False
