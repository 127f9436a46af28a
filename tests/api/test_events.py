"""Ids are the same wherever they are made, and headers survive any name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_api import events
from agenttask_api.taskdocument import TaskIdentity

IDENTITY = TaskIdentity(
    namespace="team-a",
    name="fix-12",
    uid="0a1b2c3d-0000-4000-8000-000000000001",
    run_id="2",
    run_key="2-deadbeef",
)


def test_result_id_names_task_run_index_and_pod() -> None:
    expected = f"{IDENTITY.uid}/2-deadbeef/3/pod-uid/result"
    assert events.result_id(IDENTITY, 3, "pod-uid") == expected


def test_progress_ids_differ_by_sequence() -> None:
    first, second = (events.progress_id(IDENTITY, 0, "pod-uid", seq) for seq in (1, 2))
    assert first == f"{IDENTITY.uid}/2-deadbeef/0/pod-uid/1"
    assert first != second


def test_terminal_id_has_no_pod_so_that_a_run_ends_once() -> None:
    assert (
        events.terminal_id(IDENTITY.uid, IDENTITY.run_key) == f"{IDENTITY.uid}/2-deadbeef/terminal"
    )


def test_artifact_key_differs_by_pod_so_that_no_attempt_overwrites_another() -> None:
    keys = {events.artifact_key(IDENTITY, 0, pod, "change.patch") for pod in ("one", "two")}
    assert keys == {
        "fix-12/2-deadbeef/0/one/change.patch",
        "fix-12/2-deadbeef/0/two/change.patch",
    }


@pytest.mark.parametrize("stream", events.STREAMS, ids=lambda stream: stream.name)
def test_stream_remembers_ids_long_enough(stream: events.StreamConfig) -> None:
    assert stream.duplicate_window_seconds == 7200
    assert stream.max_age_seconds > stream.duplicate_window_seconds


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        (events.results_subject(IDENTITY.task_id), "AGENT_RESULTS"),
        (events.response_subject(events.STARTED, IDENTITY.task_id), "AGENT_RESPONSES"),
        (events.response_subject(events.COMPLETED, IDENTITY.task_id), "AGENT_RESPONSES"),
    ],
)
def test_subject_belongs_to_its_stream(subject: str, name: str) -> None:
    taking = [
        s.name for s in events.STREAMS for p in s.subjects if subject.startswith(p.rstrip(">"))
    ]
    assert taking == [name], f"{subject} must be stored exactly once"


@given(task_id=st.text(), cluster=st.text())
def test_headers_are_printable_ascii_whatever_the_names(task_id: str, cluster: str) -> None:
    found = events.headers("id-1", events.FAILED, task_id, cluster, "2026-01-02T03:04:05Z")
    for name, value in found.items():
        assert value.isascii(), f"{name}: {value!r} is not ASCII"
        assert value.isprintable(), f"{name}: {value!r} would break the header's line"


def test_headers_name_the_source_and_the_type() -> None:
    found = events.headers("id-1", "failed", "team-a.fix-12", "prod", "2026-01-02T03:04:05Z")
    assert found["ce-source"] == (
        "/clusters/prod/apis/agenttask.dev/namespaces/team-a/agenttasks/fix-12"
    )
    assert found["ce-type"] == "dev.agenttask.failed.v1"
    assert found["ce-id"] == found["Nats-Msg-Id"] == "id-1"


@pytest.mark.parametrize("uid", [IDENTITY.uid, "short", ""])
def test_trace_id_has_32_characters_and_is_repeatable(uid: str) -> None:
    assert len(events.trace_id(uid)) == 32
    assert events.trace_id(uid) == events.trace_id(uid)


def test_trace_id_of_a_uid_is_a_w3c_one() -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", events.trace_id(IDENTITY.uid))
