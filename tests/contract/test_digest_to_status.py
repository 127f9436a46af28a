"""Whatever the courier may say in its last words becomes a status that is valid and fits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.operator.builders import dead, make_facts, make_job, make_pod, run_key
from tests.operator.world import settle

from agenttask_api import names
from agenttask_api.clonefacts import CloneFailure
from agenttask_api.digest import Digest, parse_digest, write_digest
from agenttask_api.reasons import Kind, Reason, meaning
from agenttask_api.result import AgentResult, Change, ResultArtifacts
from agenttask_api.status import (
    MAX_STATUS_BYTES,
    TERMINAL_PHASES,
    AgentTaskStatus,
    ArtifactRef,
    Verdict,
)
from agenttask_api.verification import StepResult, Verification

TERMINAL = [r for r in Reason if meaning(r).kind is Kind.TERMINAL]
counts = st.tuples(*[st.integers(0, 10**6)] * 3)
digests = st.fixed_dictionaries(
    {
        "run_key": st.just(run_key()),
        "reason": st.sampled_from(TERMINAL),
        "final": st.just(True),
        "phase": st.sampled_from([p.value for p in TERMINAL_PHASES]),
        "verdict": st.sampled_from([v.value for v in Verdict]),
        "message": st.text(st.characters(exclude_categories=["Cs"]), max_size=500),
        "base": st.just("b" * 40),
        "commit": st.sampled_from(["", "c" * 40]),
        "branch": st.sampled_from(["", "agenttask/fix"]),
        "files": st.integers(0, 10**6),
        "tests": st.none() | counts,
        "operations": counts,
        "calls": st.integers(0, 10**6),
        "input_tokens": st.integers(0, 10**9),
        "output_tokens": st.integers(0, 10**9),
        "result_sha256": st.sampled_from(["", "0" * 64]),
        "stored": st.sampled_from([None, True, False]),
    }
).map(lambda fields: Digest(**fields))
names_of_files = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=600)


def artifact(name):
    return ArtifactRef(name=name, ref=f"nats://b/{name}", size=1, sha256="0" * 64)


results = st.builds(
    lambda files, steps, refs: AgentResult(
        event_id="e",
        ts="t",
        trace_id="x",
        task_id="team.fix",
        run_key=run_key(),
        pod_uid="p",
        success=True,
        verdict="Verified",
        stop_reason="Completed",
        artifacts=ResultArtifacts(
            change=Change(base_commit="b", files_changed=tuple(files)),
            refs=tuple(
                ArtifactRef(name=r, ref=f"nats://b/{r}", size=1, sha256="0" * 64) for r in refs
            ),
        ),
        verification=Verification(
            passed=False, steps=tuple(StepResult(name=s, exit_code=1) for s in steps)
        ),
    ),
    st.lists(names_of_files, max_size=80),
    st.lists(names_of_files, max_size=12),
    st.lists(names_of_files, max_size=40),
)
relaxed = settings(max_examples=60, deadline=None, derandomize=True)


def status_of(digest, result=None):
    pod = make_pod(
        dead(names.COURIER, 0, write_digest(digest)), dead(names.AGENT, 0), phase="Succeeded"
    )
    facts = make_facts(jobs=(make_job(),), pods=(pod,), result=result)
    return settle(facts)[0].task.status


@relaxed
@given(digests)
def test_digest_becomes_a_valid_terminal_status(digest):
    status = status_of(digest)
    assert status.phase == digest.phase
    assert status.condition("Ready")
    assert AgentTaskStatus.model_validate(status.to_api()) == status
    assert status.size() <= MAX_STATUS_BYTES


@relaxed
@given(digests, results)
def test_lists_of_a_result_never_make_the_status_too_large(digest, result):
    status = status_of(digest, result)
    assert status.size() <= MAX_STATUS_BYTES
    assert len(status.artifacts.files_changed) <= 50
    assert status.artifacts.files_changed_count == digest.files


def test_what_was_cut_is_said():
    files = tuple(f"{'x' * 500}{n}" for n in range(60))
    change = Change(base_commit="b", files_changed=files)
    result = AgentResult(
        event_id="e",
        ts="t",
        trace_id="x",
        task_id="team.fix",
        run_key=run_key(),
        pod_uid="p",
        success=True,
        verdict="Verified",
        stop_reason="Completed",
        artifacts=ResultArtifacts(change=change),
    )
    digest = Digest(run_key=run_key(), reason=Reason.COMPLETED, final=True, phase="Succeeded")
    assert status_of(digest, result).truncated


@pytest.mark.parametrize("reason", TERMINAL)
def test_every_reason_of_a_failed_clone_reaches_the_status(reason):
    text = CloneFailure(reason=reason, message="why").model_dump_json(by_alias=True)
    pod = make_pod(dead(names.CLONE, 1, text), phase="Failed")
    facts = make_facts(jobs=(make_job(finished="Failed"),), pods=(pod,))
    status = settle(facts)[0].task.status
    assert (status.phase, status.reason) == ("Failed", reason.value)
    assert "why" in status.message


@relaxed
@given(st.text(max_size=1200))
def test_termination_message_that_is_no_digest_is_ignored(text):
    pod = make_pod(dead(names.COURIER, 0, text), dead(names.AGENT, 0), phase="Succeeded")
    facts = make_facts(jobs=(make_job(finished="Complete"),), pods=(pod,))
    assert settle(facts)[0].task.status.reason == "NoResult"


@relaxed
@given(digests)
def test_digest_reads_back_but_for_a_message_that_was_cut(digest):
    read = parse_digest(write_digest(digest))
    assert read.model_copy(update={"message": ""}) == digest.model_copy(update={"message": ""})
