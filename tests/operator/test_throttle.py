"""The throttle: half as fast at a complaint, a little faster with each answer."""

import pytest

from agenttask_operator.throttle import LEAST_PER_SECOND, MOST_PER_SECOND, Throttle


class Clock:
    def __init__(self):
        self.now, self.slept = 0.0, []

    async def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    return Throttle(lambda: clock.now, clock.sleep)


async def test_burst_goes_through_and_the_rest_waits_its_turn(throttle, clock):
    for _ in range(int(MOST_PER_SECOND)):
        await throttle.take()
    assert clock.slept == []
    for _ in range(3):
        await throttle.take()
    assert clock.slept == pytest.approx([n / MOST_PER_SECOND for n in (1, 2, 3)])


async def test_complaints_of_one_second_halve_once(throttle, clock):
    for _ in range(10):
        throttle.complained()
    assert throttle.rate == MOST_PER_SECOND / 2
    clock.now += 1.1
    throttle.complained()
    assert throttle.rate == MOST_PER_SECOND / 4


async def test_server_that_is_down_is_asked_a_few_times_a_second(throttle, clock):
    asked = 0
    for second in range(60):
        clock.now = second * 1.001
        throttle.complained()
        while throttle._tokens >= 1:
            await throttle.take()
            asked += 1
    assert throttle.rate == LEAST_PER_SECOND
    assert asked < 2 * MOST_PER_SECOND + 60 * LEAST_PER_SECOND


async def test_answers_bring_the_rate_back_and_no_further(throttle, clock):
    throttle.complained()
    for _ in range(2000):
        throttle.answered()
    assert throttle.rate == MOST_PER_SECOND
