"""Decide what to do about one task.

Pure and total: facts and a moment in, actions out, for every combination of facts.
The rules are asked in order and the first that has an answer decides. Doing what a
plan says and planning again gives an empty plan, so a crash between any two actions
is harmless: the next plan goes on from what was done.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from agenttask_api.events import trace_id
from agenttask_api.reasons import Reason
from agenttask_api.status import Phase, Verdict
from agenttask_api.taskdocument import TaskIdentity
from agenttask_api.tracing import traceparent
from agenttask_operator import admission, status
from agenttask_operator.actions import (
    Action,
    ApplyPolicy,
    CreateJob,
    DeleteJob,
    DeletePod,
    EmitEvent,
    PatchStatus,
    Requeue,
)
from agenttask_operator.admission import InvalidTask, NoClass
from agenttask_operator.case import (
    Case,
    agent_runs,
    class_or_none,
    end_old,
    late_to_start,
    look_again,
    sort_facts,
    start_deadline,
    start_seconds,
)
from agenttask_operator.endings import (
    end_run,
    patch,
    tell_nats,
    tell_old,
    tell_unsent,
    try_unsent,
)
from agenttask_operator.facts import Facts
from agenttask_operator.holds import (
    BLOCKED_SECONDS,
    REFUSED_SECONDS,
    hold,
    hold_for_ledger,
    hold_in_queue,
    hold_refused,
    ledger_holds,
)
from agenttask_operator.job import build_job
from agenttask_operator.networkpolicy import build_policy
from agenttask_operator.observed import Pod
from agenttask_operator.order import Order
from agenttask_operator.outcome import Outcome, decide_outcome, push_words, read_digest
from agenttask_operator.progress import derive_progress
from agenttask_operator.references import (
    check_references,
    context_parts,
    find_obstacle,
    find_prompt,
)
from agenttask_operator.runonce import begin_record, recall_run, told_by_courier
from agenttask_operator.taskdoc import build_document

REFERENCE_SECONDS = 15.0
"""How often a reference that is missing is looked for; the end of a task wakes at once."""
PROGRESS_SECONDS = 5.0
"""Other progress is told at most this often, so that a quick task costs few writes."""
LOOK_AGAIN_SECONDS = 10.0
"""How long a deletion may take before we look whether its event was lost."""
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
            return (*actions, *try_unsent(facts, now))
    return ()


# The rules, in the order in which they are asked.


def _finished(case: Case) -> tuple[Action, ...] | None:
    """Terminal is final: nothing but a new run key leaves it."""
    told = case.story.told
    if not told or not status.is_final(told):
        return None
    return tell_nats(case, told)


def _supersede(case: Case) -> tuple[Action, ...] | None:
    """A run that the spec no longer asks for ends, and is gone, before the new one starts."""
    task = case.facts.task
    jobs = [j for j in case.facts.jobs if j.run_key != case.run_key and not j.finished]
    pods = [p for p in case.facts.pods if p.run_key != case.run_key and not p.ended]
    if jobs or pods:
        deletes = tuple(DeleteJob(j) for j in jobs if not j.deleting)
        return (*deletes, *_end_now(pods), Requeue(LOOK_AGAIN_SECONDS))
    stored = task.status
    if not stored.run or stored.run.key == case.run_key:
        return None
    return tell_old(case, *end_old(case.facts, case.run_key, case.now))


def _settle(case: Case) -> tuple[Action, ...] | None:
    """The run has ended by itself; one without a result may have been ended by somebody."""
    outcome = decide_outcome(case.job, case.pods, case.run_key, case.now)
    if not outcome:
        return None
    ended_by_somebody = case.spec.cancel or (case.known and not case.job)
    if outcome.reason is Reason.NO_RESULT and ended_by_somebody:
        return None
    if outcome.reason is Reason.PUSH_INTERRUPTED and case.spec.cancel:
        return None
    return end_run(case, outcome)


def _cancel(case: Case) -> tuple[Action, ...] | None:
    """Cancelled once nothing of the run is left; at once when nothing was."""
    if not case.spec.cancel:
        return None
    if case.job or case.live_pods:
        job = (DeleteJob(case.job),) if case.job and not case.job.deleting else ()
        return (*job, *_end_now(case.live_pods), Requeue(LOOK_AGAIN_SECONDS))
    pod = case.pods[-1] if case.pods else None
    words = "the run was cancelled" if case.known else "cancelled before it started"
    if pod and (pushed := push_words(read_digest(pod, case.run_key))):
        words = f"{words}; {pushed}"
    return end_run(case, _outcome(case, Phase.CANCELLED, Reason.CANCELLED, words, pod))


def _end_now(pods: Iterable[Pod]) -> tuple[Action, ...]:
    """Pods whose Job is deleted: a garbage collector with much to do would let them work on."""
    return tuple(DeletePod(p) for p in pods if not p.deletion)


def _lost(case: Case) -> tuple[Action, ...] | None:
    """A Job that existed is gone: never create it again, the work may have been done.

    What its courier told NATS before counts as if the pod were still there.
    """
    if case.job or not case.known:
        return None
    if case.live_pods:
        return (Requeue(LOOK_AGAIN_SECONDS),)
    told = told_by_courier(case)
    if told:
        return end_run(case, told)
    pod = case.pods[-1] if case.pods else None
    if not case.started and start_deadline(case) <= case.now:
        words = _start_words(case)
        return end_run(
            case, _outcome(case, Phase.FAILED, Reason.START_DEADLINE_EXCEEDED, words, pod)
        )
    words = f"Job {case.job_name} is gone before its outcome was known"
    return end_run(case, _outcome(case, Phase.FAILED, Reason.JOB_LOST, words, pod))


def _give_up(case: Case) -> tuple[Action, ...] | None:
    """The agent has not started in time: the Job goes first, then it is said.

    The blocker is written down before, since it cannot be seen once the Job is gone.
    """
    if not case.job or not late_to_start(case):
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
    return actions if agent_runs(case) else (*actions, Requeue(look_again(case)))


def _refuse(case: Case) -> tuple[Action, ...] | None:
    """Nothing honours a set field."""
    fields = admission.not_implemented(case.spec, class_or_none(case))
    if not fields:
        return None
    return hold(case, Reason.NOT_IMPLEMENTED, f"not implemented: {', '.join(fields)}", stalled=True)


def _suspend(case: Case) -> tuple[Action, ...] | None:
    """Held before its start."""
    if not case.spec.suspend:
        return None
    return hold(case, Reason.SUSPENDED, "the task is suspended")


def _await_references(case: Case) -> tuple[Action, ...] | None:
    """Held until what it refers to is there; the end of a task wakes it."""
    try:
        check_references(case.facts.task.key.name, case.spec)
    except InvalidTask as error:
        return end_run(case, _outcome(case, Phase.FAILED, Reason.INVALID_SPEC, str(error), None))
    obstacle = find_obstacle(case)
    if not obstacle:
        return None
    held = hold(case, obstacle.reason, obstacle.message, delay=BLOCKED_SECONDS)
    return (*held, Requeue(REFERENCE_SECONDS))


def _start(case: Case) -> tuple[Action, ...] | None:
    """Create the Job, or say why not."""
    try:
        order = _order(case)
    except NoClass as error:
        return hold(case, Reason.WAITING_FOR_CLASS, str(error), delay=BLOCKED_SECONDS)
    except InvalidTask as error:
        return end_run(case, _outcome(case, Phase.FAILED, Reason.INVALID_SPEC, str(error), None))
    refusal = case.facts.refusal
    if refusal and refusal.at + timedelta(seconds=REFUSED_SECONDS) > case.now:
        return hold_refused(case)
    if ledger_holds(case):
        return hold_for_ledger(case)
    if case.facts.turn and not case.facts.turn.admitted:
        return hold_in_queue(case, case.facts.turn)
    words = f"Job {order.job_name} runs the task"
    if order.document.traceparent:
        words += f"; trace {trace_id(case.facts.task.uid)}"
    created = EmitEvent("created", case.run_key, Reason.JOB_CREATED, words)
    job = CreateJob(build_job(order), begin_record(case, order.job_name))
    return (*_wall(case, order), job, created)


RULES: tuple[Rule, ...] = (
    tell_unsent,
    _finished,
    _supersede,
    recall_run,
    _settle,
    _cancel,
    _lost,
    _give_up,
    _report,
    _refuse,
    _suspend,
    _await_references,
    _start,
)


def _unreadable(facts: Facts, now: datetime) -> tuple[Action, ...]:
    """The stored spec is not one we know; without it there is no run to speak of."""
    task = facts.task
    if status.is_final(task.status) and task.status.run:
        return patch(facts, status.refreshed(task, False, None, now))
    outcome = Outcome(Phase.FAILED, Verdict.NONE, Reason.INVALID_SPEC, task.spec_error, now)
    story = status.Story(task, None, task.status.runs)
    return patch(facts, status.ended(story, None, (), outcome, None, None, now))


def _progress(case: Case) -> tuple[Action, ...]:
    assert case.job is not None
    progress = derive_progress(case.job, case.pods, case.facts.notes, case.started)
    new = status.running(case.story, case.job, case.pods, progress, case.now)
    slot = "blocked" if progress.blocked else "started"
    event = EmitEvent(slot, case.run_key, progress.reason, new.message, warning=progress.blocked)
    if progress.phase is Phase.RUNNING:
        fresh = case.facts.task.status.phase is not Phase.RUNNING
        delay = 0.0 if fresh else PROGRESS_SECONDS
        return patch(case.facts, new, delay, event if fresh else None)
    if progress.blocked:
        return patch(case.facts, new, BLOCKED_SECONDS, event)
    return patch(case.facts, new, PROGRESS_SECONDS)


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
    document = build_document(
        identity, find_prompt(case), case.spec, class_.spec, granted, context_parts(case)
    )
    traced = bool(facts.defaults.otlp_endpoint)
    parent = traceparent(task.uid, case.run_key) if traced else ""
    return Order(
        document=document.model_copy(update={"traceparent": parent}),
        task=case.spec,
        class_=class_.spec,
        class_name=class_.name,
        granted=granted,
        agent_image=facts.defaults.agent_image,
        nats_url=facts.defaults.nats_url,
        cluster_id=facts.defaults.cluster_id,
        otlp_endpoint=facts.defaults.otlp_endpoint,
        unrecorded=bool(facts.recorded and not facts.recorded.reachable),
    )


def _wall(case: Case, order: Order) -> tuple[Action, ...]:
    """The policy stands before the pod does; making it again changes nothing."""
    defaults = case.facts.defaults
    if defaults.egress is None:
        return ()
    class_, namespace = case.facts.classes[order.class_name], case.facts.task.key.namespace
    ours = (defaults.nats_url, defaults.otlp_endpoint)
    return (ApplyPolicy(build_policy(class_, namespace, defaults.egress, *ours)),)


def _start_words(case: Case) -> str:
    told = case.story.told
    cause = f": {told.reason}: {told.message}" if told and told.reason else ""
    return f"the agent did not start within {start_seconds(case)} s{cause}"


def _outcome(case: Case, phase: Phase, reason: Reason, message: str, pod: Pod | None) -> Outcome:
    return Outcome(phase, Verdict.NONE, reason, message, case.now, pod=pod)
