"""An API server that goes wrong in every known way: the operator stays up, and catches up.

One operator lives through all faults. Tasks are made while a fault lasts; once it is over all
of them end well, with one Job each. What NATS is told is counted in `test_leader.py`.
"""

import time
from collections.abc import Iterator

import pytest
from tests.chaos.faults import FAULTS, TROUBLES, Trouble, watch
from tests.chaos.harness import Api
from tests.chaos.proxy import Fault
from tests.chaos.stage import Stage, staged
from tests.e2e.tasks import eventually
from tests.servers.certs import Certificates
from tests.servers.nats import NatsServer, free_port, nats_binary

FAULT_SECONDS = 3.0
"""How long each fault lasts here; in `test_long_faults.py` it may be ten minutes."""
MOST_CALLS_PER_SECOND = 60
"""Far more than waiting takes, far less than spinning does: that is thousands."""


@pytest.fixture(scope="module")
def stage(
    api: Api, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("faults")
    nats = NatsServer(folder / "nats", nats_binary(), free_port())
    nats.start()
    try:
        with staged(api, certificates, nats, folder / "only", RESYNC_SECONDS="5") as made:
            made.operator.ready()
            yield made
    finally:
        nats.stop()


def endure(stage: Stage, trouble: Trouble) -> None:
    """Let it last while tasks are made, and see that nobody spins."""
    begun, calls = time.monotonic(), len(stage.proxy.calls)
    trouble.begin(stage)
    stage.make(3)
    time.sleep(FAULT_SECONDS)
    seconds = time.monotonic() - begun
    assert len(stage.proxy.calls) - calls < MOST_CALLS_PER_SECOND * seconds
    trouble.end(stage)


SLOW = (
    "half an answer",
    "500",
    "503 on writes",
    "403 on creating",
    "403 on status",
    "slow loris",
    "no answer",
)
"""Cousins of the others; `make chaos` endures them too."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in FAULTS]
)
def test_fault_is_endured_and_made_up_for(stage: Stage, name: str) -> None:
    endure(stage, TROUBLES[name])
    stage.catch_up()


def test_watch_that_falls_silent_is_made_up_for_while_it_is_silent(stage: Stage) -> None:
    silence = TROUBLES["silent watches"]
    silence.begin(stage)
    stage.make(3)
    stage.catch_up()
    silence.end(stage)


def test_connection_refused_is_endured(stage: Stage) -> None:
    endure(stage, TROUBLES["connection refused"])
    stage.catch_up()


def test_token_that_was_rotated_is_read_again(stage: Stage) -> None:
    endure(stage, TROUBLES["401 until there is another token"])
    stage.catch_up()
    stage.proxy.faults = ()


def test_task_deleted_behind_a_broken_watch_leaves_no_ghost(stage: Stage) -> None:
    labels = '{class="chaos",phase="Pending",role="DEV"}'

    def known() -> float:
        return stage.operator.metric(f"agenttask_tasks{labels}")

    before = known()
    stage.api.make_task(stage.space, "ghost", suspend=True)
    eventually(lambda: known() == before + 1, 30, "the task to be seen")
    stage.proxy.faults = (Fault(watch, hang=True),)
    stage.proxy.cut_watches()
    path = f"/apis/agenttask.dev/v1alpha1/namespaces/{stage.space}/agenttasks/ghost"
    stage.api.request("DELETE", path)
    stage.proxy.faults = (Fault(watch, gone=True),)
    stage.proxy.cut_watches()
    time.sleep(1)
    stage.proxy.faults = ()
    eventually(lambda: known() == before, 30, "the ghost to go")
