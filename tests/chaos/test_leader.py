"""Two operators on one API server: whatever becomes of the leader, one Job and one end each."""

import signal
import time

import pytest
from tests.chaos.ends import expected_ends, terminal_events
from tests.chaos.harness import Api, Operator
from tests.chaos.proxy import Fault, Proxy
from tests.e2e.tasks import eventually
from tests.servers.nats import NatsServer

STILL_SECONDS = 30.0


def leading(operator: Operator) -> bool:
    return operator.metric("agenttask_leader") == 1.0


def pair(operator, proxy=None) -> tuple[Operator, Operator]:
    """Start a leader and then a standby that is ready."""
    leader, standby = operator("leader", proxy), operator("standby")
    leader.start()
    leader.ready()
    eventually(lambda: leading(leader), 30, "the first operator to lead")
    standby.start()
    standby.ready()
    assert not leading(standby)
    return leader, standby


def make_tasks(api: Api, space: str, first: int, count: int) -> None:
    for number in range(first, first + count):
        api.make_task(space, f"t-{number}")


def check_ends(api: Api, nats: NatsServer, space: str, count: int) -> None:
    """Every task got one Job and, in NATS, one end."""
    api.one_job_each(space, count)
    ends = eventually(
        lambda: (e := terminal_events(nats)).total() >= count and e, 30, "all ends in NATS"
    )
    assert ends == expected_ends(space, count)


def test_leader_killed_in_a_burst_is_replaced_without_a_double_or_a_loss(
    api, space, operator, nats
):
    leader, standby = pair(operator)
    make_tasks(api, space, 0, 15)
    leader.signal(signal.SIGKILL)
    make_tasks(api, space, 15, 10)
    api.end_pods(space)

    eventually(lambda: leading(standby), 60, "the standby to lead")
    api.all_end(space, 25)

    check_ends(api, nats, space, 25)


@pytest.mark.slow
def test_leader_that_stood_still_for_half_a_minute_ends_and_writes_nothing(
    api, space, operator, nats
):
    leader, standby = pair(operator)
    make_tasks(api, space, 0, 8)
    leader.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        make_tasks(api, space, 8, 8)
        eventually(lambda: leading(standby), 60, "the standby to lead")
        api.all_end(space, 16)
        time.sleep(max(0.0, stopped + STILL_SECONDS - time.monotonic()))
    finally:
        leader.signal(signal.SIGCONT)

    eventually(lambda: not leader.alive, 30, "the former leader to end")
    assert leader.wait() == 1
    assert leading(standby)
    check_ends(api, nats, space, 16)


@pytest.mark.slow
def test_leader_that_reaches_no_api_server_ends_and_is_replaced(
    api, space, operator, nats, proxy: Proxy
):
    leader, standby = pair(operator, proxy)
    make_tasks(api, space, 0, 8)
    proxy.faults = (Fault(lambda _: True, hang=True),)
    make_tasks(api, space, 8, 8)

    eventually(lambda: not leader.alive, 30, "the leader to end")
    eventually(lambda: leading(standby), 30, "the standby to lead")
    api.all_end(space, 16)
    check_ends(api, nats, space, 16)


def test_leader_that_is_told_to_stop_hands_over_at_once(api, space, operator):
    leader, standby = pair(operator)
    leader.signal(signal.SIGTERM)
    assert leader.wait() == 0
    assert api.holder(space) == "" or api.holder(space).startswith("standby")
    eventually(lambda: leading(standby), 10, "the standby to lead")
