"""References and the run-once ledger on the real API server, with a real NATS."""

from collections.abc import Iterator

import pytest
from tests.chaos.harness import Api, over, running
from tests.chaos.home import Home, at_home
from tests.e2e.tasks import eventually

HOLDING = "holding"
CLASS_PATH = f"/apis/agenttask.dev/v1alpha1/agentclasses/{HOLDING}"


@pytest.fixture(scope="module")
def home(api: Api, crds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with at_home(api, crds.kubeconfig, tmp_path_factory.mktemp("once"), "once") as home:
        yield home


@pytest.fixture
def holding_class(api: Api) -> Iterator[None]:
    api.make_class(HOLDING)
    api.request("PATCH", CLASS_PATH, {"spec": {"ledger": {"onUnavailable": "Hold"}}})
    yield
    api.request("DELETE", CLASS_PATH)


def test_task_that_is_referred_to_is_waited_for(home: Home) -> None:
    context = [{"taskRef": {"name": "told"}}]
    home.api.make_task(home.space, "asks", contextFrom=context)
    home.until("asks", reason="ReferenceNotFound")
    home.api.make_task(home.space, "told", suspend=True)
    home.until("asks", reason="WaitingForTask")
    assert home.jobs("asks") == []


def test_task_deleted_at_work_and_applied_again_does_not_run_again(home: Home) -> None:
    home.api.make_task(home.space, "again")
    home.api.say(home.pod("again"), "Running", clone=over(0), agent=running())
    home.until("again", phase="Running")
    home.api.request("DELETE", home.path("again"))
    eventually(lambda: not home.api.task(home.space, "again"), 30, "the task to go")
    eventually(lambda: not home.jobs("again"), 60, "its Job to go")
    home.api.make_task(home.space, "again")
    home.until("again", phase="Failed", reason="RunInterrupted")
    assert home.jobs("again") == []


def test_ledger_that_is_away_holds_the_task_where_its_class_says_so(
    home: Home, holding_class: None
) -> None:
    home.nats.stop()
    home.api.make_task(home.space, "careful", class_name=HOLDING)
    home.until("careful", reason="LedgerUnavailable")
    assert home.jobs("careful") == []
    home.nats.start()
    eventually(lambda: home.jobs("careful"), 60, "the Job once the ledger is back")
