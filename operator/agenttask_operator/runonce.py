"""How the run-once ledger decides whether a run may begin. Pure.

Whoever has the entry of a run owns it. A task that was deleted and applied again unchanged is
another object with the same run, so it finds the entry of the first one.
"""

from agenttask_api.ledger import LedgerEntry, entry_key
from agenttask_api.reasons import Reason
from agenttask_api.status import Phase, Verdict
from agenttask_operator.actions import Action, Record
from agenttask_operator.case import Case
from agenttask_operator.clock import format_time
from agenttask_operator.endings import end_run, recall
from agenttask_operator.outcome import Outcome, outcome_of_result

UNJUDGED = (
    Reason.NO_RESULT,
    Reason.CANCELLED,
    Reason.JOB_LOST,
    Reason.START_DEADLINE_EXCEEDED,
)
"""Results of a run that was cut short: whoever deleted the Job is why, not the agent.

The last two are this operator's own words, published before the status was written.
"""


def recall_run(case: Case) -> tuple[Action, ...] | None:
    """A run that the ledger knows is not begun again, whoever applied the task again.

    Of one that was begun and not ended, its courier may have told NATS how it went.
    """
    if not case.entry or case.job or case.live_pods:
        return None
    if case.entry.outcome:
        return recall(case, case.entry.outcome)
    if not case.interrupted:
        return None
    told = told_by_courier(case)
    words = f"an earlier object of this name began this run at {case.entry.started} and was deleted"
    gone = Outcome(Phase.FAILED, Verdict.NONE, Reason.RUN_INTERRUPTED, words, case.now)
    return end_run(case, told or gone)


def begin_record(case: Case, job_name: str) -> Record | None:
    """Return what the ledger must hold before the Job is created, if it does not yet."""
    facts = case.facts
    if not facts.recorded or not facts.recorded.reachable or case.entry:
        return None
    entry = LedgerEntry(
        uid=facts.task.uid, run_key=case.run_key, job_name=job_name, started=format_time(case.now)
    )
    return Record(entry_key(facts.defaults.cluster_id, *facts.task.key, case.run_key), entry)


def told_by_courier(case: Case) -> Outcome | None:
    """Return the outcome that a courier told NATS of a run of which nothing else is left."""
    told = case.facts.result
    if not told or told.run_key != case.run_key or told.stop_reason in UNJUDGED:
        return None
    return outcome_of_result(told, case.now)
