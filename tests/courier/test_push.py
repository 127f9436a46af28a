"""Pushing to a real server: once, onto the right thing, explained when refused."""

import pytest
from tests.courier.conftest import MakeDocument, Origin, git, write_files
from tests.servers.githttps import PASSWORD

from agenttask_courier.clone import clone
from agenttask_courier.credentials import git_access, secret_values
from agenttask_courier.git import Git
from agenttask_courier.intake import take_in
from agenttask_courier.places import Places
from agenttask_courier.push import BranchMoved, push

BRANCH = "agenttask/x"


@pytest.fixture
def candidate(places: Places, origin: Origin, make_document: MakeDocument) -> tuple[Git, str]:
    assert clone(places, make_document()) == 0
    access = git_access(places, make_document())
    pristine = Git(places.pristine_repo, places.tmp, access.environment, access.config)
    base = git(places.repo, "rev-parse", "HEAD")
    write_files(places.repo, {"new": "new"})
    git(places.repo, "add", "-A")
    git(places.repo, "commit", "-qm", "work")
    bundle = places.tmp / "b"
    git(places.repo, "bundle", "create", "-q", str(bundle), f"{base}..HEAD")
    return pristine, take_in(pristine, bundle, base, 1 << 20)


def pushed(
    places: Places, origin: Origin, candidate: tuple[Git, str], expected: str = ""
) -> tuple[str, list[float]]:
    pauses: list[float] = []
    pristine, commit = candidate
    secrets = secret_values(places)
    said = push(pristine, origin.url, commit, BRANCH, expected, secrets, pauses.append)
    return said, pauses


def test_new_branch_is_pushed_from_a_shallow_clone(
    places: Places, origin: Origin, candidate: tuple[Git, str]
):
    assert pushed(places, origin, candidate) == ("", [])
    assert origin.commit(BRANCH) == candidate[1]


def test_pushing_again_is_harmless(places: Places, origin: Origin, candidate: tuple[Git, str]):
    pushed(places, origin, candidate)
    assert pushed(places, origin, candidate) == ("", [])


def test_existing_branch_that_was_not_expected_is_kept(
    places: Places, origin: Origin, candidate: tuple[Git, str]
):
    theirs = origin.push_from_elsewhere(BRANCH)
    with pytest.raises(BranchMoved, match="has changed since the clone"):
        pushed(places, origin, candidate)
    assert origin.commit(BRANCH) == theirs


def test_refusal_by_a_hook_is_quoted_without_secrets(
    places: Places, origin: Origin, candidate: tuple[Git, str]
):
    hook = origin.server.root / origin.name / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\necho 'no {PASSWORD} pushes on Friday' >&2; exit 1\n", "utf-8")
    hook.chmod(0o755)
    said, _ = pushed(places, origin, candidate)
    assert "pushes on Friday" in said
    assert PASSWORD not in said


def test_wrong_credentials_are_explained(
    places: Places, origin: Origin, candidate: tuple[Git, str]
):
    (places.git_secret / "password").write_text("wrong-password", "utf-8")
    said, pauses = pushed(places, origin, candidate)
    assert "must allow pushing" in said
    assert pauses == []


def test_server_error_is_tried_again(places: Places, origin: Origin, candidate: tuple[Git, str]):
    origin.server.fail_with.extend([500, 500])
    said, pauses = pushed(places, origin, candidate)
    assert said == ""
    assert len(pauses) == 1
    assert origin.commit(BRANCH) == candidate[1]


def test_push_that_may_have_arrived_is_not_called_refused_alone(
    places: Places, origin: Origin, candidate: tuple[Git, str]
):
    origin.server.fail_with.extend([500] * 20)
    said, _ = pushed(places, origin, candidate)
    assert "so the push may have arrived" in said
