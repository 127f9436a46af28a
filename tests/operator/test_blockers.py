"""Why a pod does not run its agent, as far as Events must be asked."""

import pytest
from tests.operator.builders import dead, make_pod, running, waiting

from agenttask_api.reasons import Reason
from agenttask_operator.blockers import Note, find_blocker, needs_notes

PULLED = Note("Pulled", 'Container image "agent:dev" already present')
NO_PULL = Note("Failed", 'Failed to pull image "none:1": connection refused')
QUIET = (running("courier"), waiting("agent", "PodInitializing"))


@pytest.mark.parametrize(
    ("containers", "wanted"),
    [
        pytest.param(QUIET, True, id="sidecars run and the agent does not come"),
        pytest.param((running("clone"),), False, id="a clone at work is no silence"),
        pytest.param((running("agent"),), False, id="a running agent is no silence"),
        pytest.param((dead("agent", 1),), False, id="an ended agent is no silence"),
        pytest.param((waiting("agent", "ErrImagePull"),), False, id="the kubelet said it itself"),
    ],
)
def test_events_are_asked_only_where_nothing_else_tells(containers, wanted):
    assert needs_notes(make_pod(*containers)) is wanted


def test_a_failed_pull_is_known_from_its_event_before_the_kubelet_says_it():
    blocker = find_blocker(make_pod(*QUIET), (PULLED, NO_PULL))
    assert blocker
    assert blocker.reason is Reason.IMAGE_PULL_FAILED
    assert "none:1" in blocker.message


def test_a_pull_that_came_through_in_the_end_blocks_nothing():
    assert find_blocker(make_pod(*QUIET), (NO_PULL, PULLED)) is None


def test_a_missing_secret_of_a_database_comes_with_its_command():
    note = Note(
        "FailedMount", 'MountVolume.SetUp failed for volume "db-1" : secret "cache-db" not found'
    )
    blocker = find_blocker(make_pod(waiting("clone", "PodInitializing")), (note,))
    assert blocker
    assert blocker.reason is Reason.CONTAINER_CONFIG_ERROR
    assert "create secret generic cache-db -n team --from-literal=url=URL" in blocker.message
