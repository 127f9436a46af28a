"""Every reason that our code can give is provoked on the real cluster by a test that is there.

A reason in `NOT_GIVEN` is given by no code yet: as soon as one gives it, it needs a row.
"""

import re
from functools import cache

import pytest
from tests.contract.naming import ROOT, missing

from agenttask_api.reasons import MEANINGS, Reason

R = Reason
CHAOS, E2E = "tests/chaos", "tests/e2e"
REASONS, BAD_DAYS = f"{CHAOS}/test_reasons.py", f"{E2E}/test_bad_days.py"
DEATH = f"{REASONS}::test_death_is_named_and_starts_no_second_pod"
BLOCKED = f"{REASONS}::test_cluster_that_takes_no_pod_is_quoted_and_nothing_is_running"
PROGRESS = f"{REASONS}::test_progress_is_told_step_by_step"
OTHER_POD = f"{REASONS}::test_disruption_and_exit_75_are_followed_by_one_other_pod"
END = f"{E2E}/test_reasons.py::test_run_ends_for_its_own_reason_and_costs_one_pod"
ONCE = f"{CHAOS}/test_runonce.py"
ADMISSION = f"{CHAOS}/test_admission.py"

PROVOKED: dict[Reason, str] = {
    R.JOB_CREATED: (
        f"{CHAOS}/test_rights.py::test_service_account_may_do_all_that_the_operator_does"
    ),
    R.CLONING: PROGRESS,
    R.PREPARING: PROGRESS,
    R.RUNNING: PROGRESS,
    R.PUBLISHING: PROGRESS,
    R.NOT_IMPLEMENTED: f"{BAD_DAYS}::test_a_field_that_nothing_honours_is_refused_by_name",
    R.WAITING_FOR_CLASS: f"{BAD_DAYS}::test_a_task_waits_for_its_class_and_starts_by_itself",
    R.WAITING_FOR_TASK: f"{ONCE}::test_task_that_is_referred_to_is_waited_for",
    R.REFERENCE_NOT_FOUND: f"{ONCE}::test_task_that_is_referred_to_is_waited_for",
    R.RUN_INTERRUPTED: f"{ONCE}::test_task_deleted_at_work_and_applied_again_does_not_run_again",
    R.LEDGER_UNAVAILABLE: (
        f"{ONCE}::test_ledger_that_is_away_holds_the_task_where_its_class_says_so"
    ),
    R.SUSPENDED: f"{BAD_DAYS}::test_a_suspended_task_starts_when_it_is_let_go",
    R.QUEUED: f"{ADMISSION}::test_one_tenants_flood_does_not_delay_anothers_task",
    R.QUEUE_NOT_ADMITTED: f"{ADMISSION}::test_kueues_queue_decides_when_the_job_runs",
    R.MODEL_AT_CAPACITY: (
        f"{ADMISSION}::test_server_with_a_long_queue_holds_tasks_back_until_it_is_short"
    ),
    R.MODEL_UNAVAILABLE: (
        f"{ADMISSION}::test_model_that_is_away_holds_tasks_back_until_it_is_there"
    ),
    R.QUOTA_EXCEEDED: f"{BLOCKED}[poor]",
    R.POD_CREATION_DENIED: f"{BLOCKED}[strict]",
    R.UNSCHEDULABLE: f"{REASONS}::test_pod_that_fits_no_node_is_explained",
    R.IMAGE_PULL_FAILED: (
        f"{BAD_DAYS}::test_an_image_that_does_not_exist_is_named_while_waiting_and_at_the_end"
    ),
    R.CONTAINER_CONFIG_ERROR: (
        f"{BAD_DAYS}::test_a_missing_secret_is_named_with_the_command_that_creates_it"
    ),
    R.NAME_CONFLICT: f"{REASONS}::test_job_of_somebody_else_with_our_name_is_left_alone",
    R.COMPLETED: (
        f"{CHAOS}/test_lifecycle.py"
        "::test_attempt_that_never_reached_the_model_is_followed_by_another"
    ),
    R.NO_CHANGE: END,
    R.VERIFICATION_FAILED: f"{E2E}/test_run.py::test_a_change_that_breaks_a_test_is_refused",
    R.POLICY_DENIED: END,
    R.SETUP_FAILED: END,
    R.CLONE_AUTH_FAILED: f"{BAD_DAYS}::test_a_wrong_password_is_a_clone_that_was_refused",
    R.CLONE_REVISION_NOT_FOUND: f"{BAD_DAYS}::test_a_revision_that_does_not_exist_is_named",
    R.CLONE_FAILED: f"{BAD_DAYS}::test_a_repository_that_cannot_be_reached_is_a_failed_clone",
    R.PUSH_REJECTED: END,
    R.BASE_MOVED: (
        f"{E2E}/test_reasons.py::test_work_on_a_branch_that_moved_meanwhile_is_kept_and_not_forced"
    ),
    R.MODEL_ERROR: END,
    R.MODEL_MISUNDERSTOOD: END,
    R.BUDGET_EXCEEDED: END,
    R.ITERATION_LIMIT: END,
    R.LOOP_DETECTED: END,
    R.CONTEXT_EXHAUSTED: END,
    R.TOOL_FAILED: END,
    R.DEADLINE_EXCEEDED: END,
    R.START_DEADLINE_EXCEEDED: (
        f"{BAD_DAYS}::test_an_image_that_does_not_exist_is_named_while_waiting_and_at_the_end"
    ),
    R.OOM_KILLED: f"{BAD_DAYS}::test_an_agent_out_of_memory_is_said_so_and_not_tried_again",
    R.WORKSPACE_FULL: f"{DEATH}[workspace]",
    R.EVICTED: f"{DEATH}[storage]",
    R.NODE_LOST: f"{OTHER_POD}[node-lost]",
    R.JOB_LOST: f"{BAD_DAYS}::test_a_job_deleted_by_somebody_else_is_not_made_again",
    R.NO_RESULT: f"{DEATH}[no-result]",
    R.INVALID_SPEC: (f"{REASONS}::test_toolchain_that_the_class_does_not_have_is_an_invalid_spec"),
    R.SUPERSEDED: f"{REASONS}::test_run_that_a_newer_one_replaces_is_superseded",
    R.CANCELLED: f"{BAD_DAYS}::test_a_cancelled_task_says_so_and_keeps_nothing_running",
    R.INTERNAL_ERROR: f"{DEATH}[admission]",
    R.NATS_UNAVAILABLE: f"{REASONS}::test_end_that_nats_did_not_take_says_so_until_it_does",
    R.STORE_UNAVAILABLE: f"{BAD_DAYS}::test_nats_gone_at_the_end_does_not_fail_the_task",
    R.SUSPEND_IGNORED: f"{REASONS}::test_suspending_a_task_that_has_started_is_answered",
}
ELSEWHERE: dict[Reason, str] = {
    # Told by the courier to NATS; see docs/limits.md.
    R.VERIFYING: "tests/courier/test_run.py::test_grace_period_ends_a_check_under_way",
    # A kill within the second that a push takes cannot be had on a cluster every time.
    R.PUSH_INTERRUPTED: "tests/courier/test_begun.py::test_push_cut_off_is_told_with_what_is_known",
}
NOT_GIVEN = frozenset(
    {
        R.NO_WINNER,
        R.ARTIFACTS_LOST,
        R.TOO_LARGE,
    }
)


@cache
def source() -> str:
    """Return all code that could give a reason."""
    folders = ("operator/agenttask_operator", "agent/agenttask_agent", "agent/agenttask_courier")
    files = (p for f in folders for p in (ROOT / f).rglob("*.py"))
    return "\n".join(p.read_text("utf-8") for p in files)


def is_given(reason: Reason) -> bool:
    return bool(re.search(rf"\bReason\.{reason.name}\b", source()))


def test_every_reason_is_in_one_of_the_tables() -> None:
    tables = [*PROVOKED, *ELSEWHERE, *NOT_GIVEN]
    assert sorted(tables) == sorted(Reason) == sorted(MEANINGS)


@pytest.mark.parametrize("reason", sorted(NOT_GIVEN))
def test_reason_without_a_test_is_given_by_no_code(reason: Reason) -> None:
    assert not is_given(reason), f"{reason} is given by code: provoke it, and add its row here"


@pytest.mark.parametrize("reason", sorted({**PROVOKED, **ELSEWHERE}))
def test_reason_is_named_by_the_test_that_provokes_it(reason: Reason) -> None:
    test_id = {**PROVOKED, **ELSEWHERE}[reason]
    assert not missing(test_id)
    assert is_given(reason)
    text = (ROOT / test_id.partition("::")[0]).read_text("utf-8")
    named = rf'"{reason.value}"|reason={reason.value}\b|Reason\.{reason.name}\b'
    assert re.search(named, text), f"{test_id} does not speak of {reason}"
