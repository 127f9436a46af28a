"""The queue: once each, one worker a key, later and later after failures."""

import asyncio

import pytest

from agenttask_operator.observed import Key
from agenttask_operator.queue import (
    BACKOFF_LAST_SECONDS,
    REFUSED_FIRST_SECONDS,
    REFUSED_LAST_SECONDS,
    REFUSED_PER_SECOND,
    WorkQueue,
)

A, B = Key("ns", "a"), Key("ns", "b")


class Clock:
    """A clock that moves when told, and calls what falls due."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def schedule(self, seconds, function):
        call = Call(self.now + seconds, function)
        self.calls.append(call)
        return call

    def advance(self, seconds):
        self.now += seconds
        due = [c for c in self.calls if c.at <= self.now and not c.cancelled]
        self.calls = [c for c in self.calls if c not in due]
        for call in due:
            call.function()


class Call:
    def __init__(self, at, function):
        self.at, self.function, self.cancelled = at, function, False

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(clock):
    return WorkQueue(clock.schedule, lambda: clock.now, lambda: 1.0)


async def test_key_added_twice_is_there_once(queue):
    queue.add(A)
    queue.add(A)
    assert len(queue) == 1


async def test_keys_come_in_order(queue):
    queue.add(A)
    queue.add(B)
    assert [await queue.get(), await queue.get()] == [A, B]


async def test_key_added_while_worked_on_comes_again_only_afterwards(queue):
    queue.add(A)
    await queue.get()
    queue.add(A)
    assert len(queue) == 0
    queue.done(A)
    assert await queue.get() == A


async def test_key_not_added_again_is_done_with(queue):
    queue.add(A)
    queue.done(await queue.get())
    assert len(queue) == 0


async def test_get_waits_for_a_key(queue):
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add(A)
    assert await waiting == A


async def test_delayed_key_comes_when_due_and_the_sooner_time_counts(queue, clock):
    queue.add_after(A, 10)
    queue.add_after(A, 5)
    queue.add_after(A, 20)
    clock.advance(4)
    assert len(queue) == 0
    clock.advance(1)
    assert len(queue) == 1
    clock.advance(20)
    assert len(queue) == 1


async def test_failures_come_back_later_and_later_up_to_a_limit(queue):
    delays = [queue.add_failed(A) for _ in range(15)]
    assert delays == sorted(delays)
    assert delays[:3] == [0.2, 0.4, 0.8]
    assert delays[-1] == BACKOFF_LAST_SECONDS


async def test_server_may_ask_for_more_patience(queue):
    assert queue.add_failed(A, at_least=30) == 30


async def test_refused_key_comes_back_within_half_a_minute_however_often_it_was_refused(queue):
    delays = [queue.add_refused(A) for _ in range(15)]
    assert delays[0] == REFUSED_FIRST_SECONDS
    assert delays[-1] == REFUSED_LAST_SECONDS


async def test_many_refused_keys_ask_no_more_often_together_than_one_may(queue):
    many = [Key("a", f"t-{number}") for number in range(1000)]
    for _ in range(15):
        delays = [queue.add_refused(key) for key in many]
    assert sum(1 / delay for delay in delays) <= REFUSED_PER_SECOND * 1.01
    assert max(delays) <= BACKOFF_LAST_SECONDS


async def test_success_forgives(queue):
    queue.add_failed(A)
    queue.forgive(A)
    assert queue.add_failed(A) == 0.2


async def test_forgotten_key_does_not_come_back(queue, clock):
    queue.add_after(A, 5)
    queue.forget(A)
    clock.advance(10)
    assert len(queue) == 0
