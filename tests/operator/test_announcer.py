"""Events are created in order, behind all other work, and hold nothing up."""

import asyncio

import pytest

from agenttask_operator.announcer import MOST_WAITING, PATIENCE_SECONDS, Announcer
from agenttask_operator.errors import Refused, Unavailable


def event(name):
    return {
        "metadata": {"name": name, "namespace": "ns"},
        "involvedObject": {"namespace": "ns", "name": "t"},
    }


class World:
    """An API server that can fail, work that can be due, and a clock that sleep moves."""

    def __init__(self):
        self.created, self.failures = [], {}
        self.busy, self.leads, self.now = False, True, 0.0
        self.last, self.finished = "", asyncio.Event()
        self.announcer = Announcer(
            self.create, lambda: self.leads, lambda: self.busy, lambda: self.now, self.sleep
        )

    async def create(self, event):
        name = event["metadata"]["name"]
        failures = self.failures.get(name, [])
        if failures:
            raise failures.pop(0)
        self.created.append((name, self.now))
        if name == self.last:
            self.finished.set()

    async def sleep(self, seconds):
        self.now += seconds
        await asyncio.sleep(0)

    async def tell(self, *names):
        for name in names:
            await self.announcer.take(event(name))
            self.last = name

    async def create_all(self):
        running = asyncio.create_task(self.announcer.run())
        async with asyncio.timeout(5):
            await self.finished.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    @property
    def names(self):
        return [name for name, _ in self.created]


@pytest.fixture
def world():
    return World()


async def test_events_are_created_in_order(world):
    await world.tell("a", "b", "c")
    await world.create_all()
    assert world.names == ["a", "b", "c"]


async def test_event_makes_room_for_other_work_and_not_for_ever(world):
    world.busy = True
    await world.tell("a")
    await world.create_all()
    ((_, at),) = world.created
    assert PATIENCE_SECONDS <= at < PATIENCE_SECONDS + 1


async def test_event_is_tried_again_when_the_api_server_is_away(world):
    world.failures["a"] = [Unavailable("away"), Unavailable("away")]
    await world.tell("a", "b")
    await world.create_all()
    assert world.names == ["a", "b"]


async def test_refused_event_is_dropped_and_told_without_the_words_of_the_refusal(world, caplog):
    world.failures["a"] = [Refused("quotes a prompt")]
    await world.tell("a", "b")
    await world.create_all()
    assert world.names == ["b"]
    assert "an Event was not created: Refused" in caplog.text
    assert "prompt" not in caplog.text


async def test_what_finds_no_room_is_dropped_and_counted(world):
    await world.tell(*(str(n) for n in range(MOST_WAITING + 2)))
    assert len(world.announcer) == MOST_WAITING
    assert world.announcer.dropped == 2


async def test_process_that_does_not_lead_creates_none(world):
    world.leads = False
    await world.tell("a")
    await world.announcer.flush()
    assert world.created == []


async def test_what_is_left_at_the_end_is_created_whoever_is_busy(world):
    world.busy = True
    await world.tell("a", "b")
    await world.announcer.flush()
    assert world.names == ["a", "b"]
