"""What must be asked for before a plan can be made, beyond what the cache knows.

Pure. Each question costs a request, so each is asked only where its answer decides.
"""

from datetime import datetime

from agenttask_api.status import ConditionType
from agenttask_operator import status
from agenttask_operator.blockers import needs_notes
from agenttask_operator.case import late_to_start, sort_facts
from agenttask_operator.clock import seconds_between
from agenttask_operator.facts import Facts
from agenttask_operator.observed import Job, Pod
from agenttask_operator.outcome import settled_outcome

QUIET_SECONDS = 3.0
"""How long a Job may be without a pod, or a pod without news, before Events are read."""


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


def unwitnessed_job(facts: Facts, now: datetime) -> Job | None:
    """Return a Job that has ended though we saw no pod of it end with the courier's last words.

    News of Jobs and of pods come by different ways: the one may be ahead of the other.
    """
    task = facts.task
    if not task.spec or status.is_final(task.status):
        return None
    case = sort_facts(facts, task.spec, now)
    if not case.job or not case.job.finished:
        return None
    return None if settled_outcome(case.pods, case.run_key, now) else case.job


def overdue_job(facts: Facts, now: datetime) -> Job | None:
    """Return the Job of a run whose agent has not started in time, as far as we have seen.

    The clock goes on while the API server is away, and our picture does not: what looks late
    may have started meanwhile, and ended well.
    """
    task = facts.task
    if not task.spec or task.deleting or status.is_final(task.status):
        return None
    case = sort_facts(facts, task.spec, now)
    if not case.job or case.job.deleting or not late_to_start(case):
        return None
    return None if settled_outcome(case.pods, case.run_key, now) else case.job


def wants_notes(facts: Facts, now: datetime) -> Job | Pod | None:
    """Return the object whose Events are needed to say why nothing happens."""
    if not facts.task.spec or status.is_final(facts.task.status):
        return None
    case = sort_facts(facts, facts.task.spec, now)
    if not case.job or case.job.finished:
        return None
    pod = case.pods[-1] if case.pods else None
    subject = pod or case.job
    old = seconds_between(subject.created, now) > QUIET_SECONDS
    return subject if old and needs_notes(pod) else None


def wants_result(facts: Facts, now: datetime) -> tuple[str, str] | None:
    """Return run key and sha256 of the result that the status should show, if there is one."""
    task = facts.task
    if not task.spec or not facts.defaults.nats_url:
        return None
    outcome = settled_outcome(facts.pods, task.spec.run_key(), now)
    if not outcome:
        return _of_lost_run(facts, now)
    if not outcome.digest or not outcome.digest.result_sha256:
        return None
    stored = task.status
    shown = status.is_final(stored) and stored.artifacts and stored.artifacts.files_changed
    published = stored.condition(ConditionType.EVENTS_PUBLISHED)
    if shown or (status.is_final(stored) and (not published or published.status == "True")):
        return None
    return task.spec.run_key(), outcome.digest.result_sha256


def _of_lost_run(facts: Facts, now: datetime) -> tuple[str, str] | None:
    """The Job is gone without a word; its courier may have told NATS how the run ended."""
    assert facts.task.spec
    case = sort_facts(facts, facts.task.spec, now)
    over = case.story.told and status.is_final(case.story.told)
    if over or case.job or case.live_pods or not (case.known or case.interrupted):
        return None
    return case.run_key, ""


def wants_ledger(facts: Facts, now: datetime) -> str | None:
    """Return the key of the run of which the ledger must be asked, since none of it is in sight."""
    task = facts.task
    if not task.spec or task.deleting or not facts.defaults.nats_url:
        return None
    case = sort_facts(facts, task.spec, now)
    over = case.story.told and status.is_final(case.story.told)
    return None if over or case.job or case.live_pods else case.run_key


def wants_namespace(facts: Facts) -> bool:
    """Say whether the namespace's labels decide."""
    restricted = (c.spec and c.spec.allowed_namespaces for c in facts.classes.values())
    return not facts.jobs and any(restricted)
