"""The set of reasons is closed, and each one tells a person what to do."""

import re

import pytest

from agenttask_api.reasons import MEANINGS, Kind, Reason, meaning

DESIGNED = {
    Kind.PROGRESS: "JobCreated Cloning Preparing Running Verifying Publishing",
    Kind.BLOCKING: """
        NotImplemented WaitingForClass WaitingForTask ReferenceNotFound Suspended Queued
        QueueNotAdmitted ModelAtCapacity ModelUnavailable QuotaExceeded PodCreationDenied
        Unschedulable ImagePullFailed ContainerConfigError NameConflict""",
    Kind.TERMINAL: """
        Completed NoChange VerificationFailed PolicyDenied SetupFailed CloneAuthFailed
        CloneRevisionNotFound CloneFailed PushRejected PushInterrupted
        BaseMoved ModelError ModelMisunderstood
        BudgetExceeded IterationLimit LoopDetected ContextExhausted ToolFailed DeadlineExceeded
        StartDeadlineExceeded OOMKilled WorkspaceFull Evicted NodeLost JobLost RunInterrupted
        NoResult NoWinner ArtifactsLost InvalidSpec Superseded Cancelled InternalError""",
    Kind.NOTICE: "NATSUnavailable StoreUnavailable TooLarge LedgerUnavailable SuspendIgnored",
}


@pytest.mark.parametrize("kind", Kind)
def test_reasons_are_the_designed_ones(kind: Kind) -> None:
    found = {reason.value for reason, told in MEANINGS.items() if told.kind is kind}
    assert found == set(DESIGNED[kind].split())


@pytest.mark.parametrize("reason", Reason)
def test_reason_has_a_meaning_with_a_hint(reason: Reason) -> None:
    told = meaning(reason)
    assert told.hint, f"{reason} must tell what to do"
    assert len(told.hint) <= 100, "it is one part of a message of 1,024 characters"
    assert not told.hint.endswith("."), "it is put into sentences"


@pytest.mark.parametrize("reason", Reason)
def test_reason_is_what_a_condition_may_carry(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z]*", reason.value)


def test_finished_reasons_without_a_remedy_are_not_retryable() -> None:
    settled = (Reason.COMPLETED, Reason.CANCELLED, Reason.SUPERSEDED, Reason.INVALID_SPEC)
    assert not any(meaning(reason).retryable for reason in settled)
