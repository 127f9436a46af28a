"""Events go beside the work: in order, before the result, and lost without harm."""

import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from agenttask_agent.door import MAX_WAITING_EVENTS, Door
from agenttask_api.door import DoorEvent
from agenttask_api.result import AgentReport

MakeDoor = Callable[..., Door]
ENOUGH = MAX_WAITING_EVENTS + 10


class Courier:
    """Takes what is sent, once it may, and remembers the order."""

    def __init__(self, status: int = 202) -> None:
        self.status = status
        self.taken: list[str] = []
        self.may_take = threading.Event()
        self.may_take.set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/events":
            assert self.may_take.wait(20)
            self.taken.append(DoorEvent.model_validate_json(request.content).message)
            return httpx.Response(self.status)
        self.taken.append(request.url.path)
        return httpx.Response(202)


@pytest.fixture
def make_door() -> Iterator[MakeDoor]:
    clients = []

    def make(courier: Courier) -> Door:
        transport = httpx.MockTransport(courier)
        clients.append(httpx.Client(transport=transport, base_url="http://door"))
        return Door(clients[-1])

    yield make
    for client in clients:
        client.close()


def event(number: int) -> DoorEvent:
    return DoorEvent(step=number, type="action", message=str(number))


def test_events_keep_their_order_and_go_before_the_result(make_door: MakeDoor):
    courier = Courier()
    door = make_door(courier)
    for number in range(50):
        door.tell(event(number))
    door.put_result(AgentReport(stop_reason="Completed"))
    assert courier.taken == [*map(str, range(50)), "/result"]
    assert door.lost_events == 0


def test_a_courier_that_takes_none_does_not_hold_up_the_work(make_door: MakeDoor):
    courier = Courier()
    courier.may_take.clear()
    door = make_door(courier)
    for number in range(ENOUGH):
        door.tell(event(number))
    assert 0 < door.lost_events <= 10
    courier.may_take.set()
    door.flush(20)
    assert len(courier.taken) == ENOUGH - door.lost_events


def test_refused_events_are_counted(make_door: MakeDoor):
    door = make_door(Courier(status=500))
    door.tell(event(1))
    door.tell(event(2))
    door.flush(20)
    assert door.lost_events == 2
