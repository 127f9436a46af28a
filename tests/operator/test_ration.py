"""Questions that cost much get a share of the time, and none waits long for its turn."""

import asyncio
from functools import partial

import pytest

from agenttask_operator.errors import Unavailable
from agenttask_operator.ration import PATIENCE_SECONDS, SHARE, Ration


class Server:
    """Answers after so many seconds of a clock that only waiting moves."""

    def __init__(self, seconds):
        self.seconds, self.now, self.begun = seconds, 0.0, []
        self.ration = Ration(lambda: self.now, self.sleep)

    async def sleep(self, seconds):
        self.now += seconds

    async def answer(self):
        self.begun.append(self.now)
        self.now += self.seconds
        return ["event"]

    async def fail(self):
        self.now += self.seconds
        raise Unavailable("away")


async def test_quick_answers_are_given_to_all_that_ask():
    server = Server(0.005)
    answers = [await server.ration.ask(server.answer) for _ in range(30)]
    assert answers == [["event"]] * 30


async def test_slow_answers_take_their_share_of_the_time_and_no_more():
    server = Server(3.0)
    for _ in range(300):
        await server.ration.ask(server.answer)
        server.now += 1.0
    busy = len(server.begun) * server.seconds
    # The last turn may have ended just now.
    assert 0.9 * SHARE < busy / server.now < 1.1 * SHARE


async def test_who_would_wait_long_does_without():
    server = Server(3.0)
    assert await server.ration.ask(server.answer) == ["event"]
    assert await server.ration.ask(server.answer) is None
    server.now += 3.0 / SHARE - 3.0 - PATIENCE_SECONDS
    assert await server.ration.ask(server.answer) == ["event"]


async def test_a_failure_counts_as_an_answer_that_took_as_long():
    server = Server(3.0)
    with pytest.raises(Unavailable):
        await server.ration.ask(server.fail)
    assert await server.ration.ask(server.answer) is None


async def test_turns_are_taken_one_after_the_other():
    ration, order = Ration(), []

    async def slow(name):
        order.append(f"{name} begins")
        await asyncio.sleep(0.02)
        order.append(f"{name} ends")
        return name

    await ration.ask(lambda: slow("first"))
    await asyncio.gather(*(ration.ask(partial(slow, name)) for name in ("a", "b")))
    assert order[2:] == ["a begins", "a ends", "b begins", "b ends"]
