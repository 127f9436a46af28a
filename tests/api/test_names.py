"""Job names are short, valid, repeatable and never shared by two runs."""

import re

from hypothesis import given
from hypothesis import strategies as st

from agenttask_api.names import job_name, task_id
from agenttask_api.schema import api_name

TASK = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", fullmatch=True)
UID = st.uuids().map(str)
RUN = st.from_regex(r"[a-z0-9-]{1,20}-[0-9a-f]{8}", fullmatch=True)


@given(TASK, UID, RUN)
def test_job_name_is_a_label_that_leaves_room_for_the_pod(task: str, uid: str, run: str) -> None:
    name = job_name(task, uid, run)
    assert len(name) <= 49, "an Indexed Job's pods add to it and must stay labels"
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name), name


@given(TASK, UID, RUN)
def test_job_name_is_repeatable(task: str, uid: str, run: str) -> None:
    assert job_name(task, uid, run) == job_name(task, uid, run)


@given(TASK, UID, UID, RUN)
def test_task_created_again_gets_another_job(task: str, old: str, new: str, run: str) -> None:
    assert (job_name(task, old, run) == job_name(task, new, run)) == (old == new)


def test_job_name_is_pinned() -> None:
    """An operator of another version must find the Job that this one created."""
    assert job_name("fix-12", "uid", "1-deadbeef") == "fix-12-bb9b1e9c"


def test_task_id_is_one_subject_suffix() -> None:
    assert task_id("team-a", "fix-12") == "team-a.fix-12"


def test_json_names_write_initialisms_as_kubernetes_does() -> None:
    fields = ("run_id", "pod_uid", "commit_sha", "result_sha256", "http_hosts", "id", "ca_ref")
    names = [api_name(field) for field in fields]
    assert names == ["runID", "podUID", "commitSHA", "resultSha256", "httpHosts", "id", "caRef"]
