"""An API server that goes wrong in every known way: the operator stays up, and catches up.

One operator lives through all faults. Tasks are made while a fault lasts; once it is over all
of them end well, with one Job each. What NATS is told is counted in `test_leader.py`.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.chaos.harness import PROMPT, TOKEN, Api, Operator, kubeconfig
from tests.chaos.proxy import Call, Fault, Proxy
from tests.e2e.tasks import eventually
from tests.servers.certs import Certificates
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_testbed.commands import Kubectl

FAULT_SECONDS = float(os.environ.get("AGENTTASK_FAULT_SECONDS", "3"))
"""How long each fault lasts; `make chaos-long` sets ten minutes for some."""
DRAIN_SECONDS = 60
MOST_CALLS_PER_SECOND = 60
"""Far more than waiting takes, far less than spinning does: that is thousands."""


@dataclass
class Stage:
    """One operator behind one proxy."""

    api: Api
    proxy: Proxy
    operator: Operator
    space: str
    config: Path
    made: int = 0

    def make(self, count: int) -> list[str]:
        names = [f"t-{self.made + n}" for n in range(count)]
        self.made += count
        for name in names:
            self.api.make_task(self.space, name)
        return names

    def endure(self, *faults: Fault, cut: bool = True) -> None:
        """Let the faults last while tasks are made, and see that nobody spins."""
        begun, calls = time.monotonic(), len(self.proxy.calls)
        self.proxy.faults = faults
        if cut:
            self.proxy.cut_watches()
        self.make(3)
        time.sleep(FAULT_SECONDS)
        seconds = time.monotonic() - begun
        assert len(self.proxy.calls) - calls < MOST_CALLS_PER_SECOND * seconds
        self.proxy.faults = ()

    def catch_up(self) -> None:
        """All tasks ever made end well, and the process is the one that was started."""
        self.api.all_end(self.space, self.made, DRAIN_SECONDS)
        self.api.one_job_each(self.space, self.made)
        assert self.operator.alive
        assert self.operator.asked("/healthz")[0] == 200


@pytest.fixture(scope="module")
def stage(
    api: Api,
    certificates: Certificates,
    crds: Kubectl,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("faults")
    space = f"chaos-{secrets.token_hex(4)}"
    api.make_namespace(space)
    nats = NatsServer(folder / "nats", nats_binary(), free_port())
    nats.start()
    proxy = Proxy(api.server, api.context, certificates)
    proxy.start()
    config = kubeconfig(folder / "config", proxy.url, certificates.ca, TOKEN)
    environ = {
        "KUBECONFIG": str(config),
        "AGENT_IMAGE": "none",
        "NATS_URL": nats.url,
        "NAMESPACES": space,
        "MODEL_PROBE_SECONDS": "0",
        "RESYNC_SECONDS": "5",
    }
    operator = Operator(folder, environ, "only")
    operator.start()
    try:
        operator.ready()
        yield Stage(api, proxy, operator, space, config)
    finally:
        operator.stop()
        proxy.stop()
        nats.stop()
        api.request("DELETE", f"/api/v1/namespaces/{space}")
    said = operator.log.read_text("utf-8")
    assert PROMPT not in said
    assert TOKEN not in said


def every(_: Call) -> bool:
    return True


def watch(call: Call) -> bool:
    return call.watch


def listing(call: Call) -> bool:
    return call.collection


def tasks(call: Call) -> bool:
    return call.watch and call.path.endswith("/agenttasks")


def creating(call: Call) -> bool:
    return call.method == "POST"


def patching(call: Call) -> bool:
    return call.method == "PATCH"


Match = Callable[[Call], bool]

FAULTS: dict[str, Fault] = {
    "half a list": Fault(listing, half=True),
    "half an answer": Fault(every, half=True),
    "500": Fault(every, status=500),
    "503 on writes": Fault(patching, status=503),
    "429 storm": Fault(every, status=429, headers={"Retry-After": "1"}),
    "403 on the watch of tasks": Fault(tasks, status=403),
    "403 on creating": Fault(creating, status=403),
    "403 on status": Fault(patching, status=403),
    "410 on every watch": Fault(watch, gone=True),
    "slow loris": Fault(every, slow=0.05),
    "no answer": Fault(every, hang=True),
}


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
    stage.endure(FAULTS[name])
    stage.catch_up()


def test_watch_that_falls_silent_is_made_up_for_while_it_is_silent(stage: Stage) -> None:
    stage.proxy.faults = (Fault(watch, silent=True),)
    stage.make(3)
    stage.catch_up()
    stage.proxy.faults = ()
    stage.proxy.cut_watches()


def test_connection_refused_is_endured(stage: Stage) -> None:
    stage.proxy.refuse()
    stage.make(3)
    time.sleep(FAULT_SECONDS)
    stage.proxy.listen()
    stage.catch_up()


def test_token_that_was_rotated_is_read_again(stage: Stage, certificates: Certificates) -> None:
    kubeconfig(stage.config, stage.proxy.url, certificates.ca, "second")
    stage.endure(Fault(lambda call: call.token != "second", status=401))
    stage.proxy.faults = (Fault(lambda call: call.token != "second", status=401),)
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
