"""Freeze each watch during each step of every scenario, and lose each single event once.

What comes late, or only by the next resync, may delay the task. It changes neither how the
scenario ends nor how many Jobs it costs.
"""

from typing import TypeVar

import pytest
from tests.operator.scenarios import ROUNDS, SCENARIOS, Scene, Step
from tests.operator.watching import watches_of

from agenttask_operator.kinds import CLASSES, JOBS, PODS, ROSTER, UNFINISHED

JOB_GOES_FIRST = ("is applied again at work", UNFINISHED.name)
"""Whoever sees the Job go, and not yet that its task went, says JobLost; nothing runs again."""
WATCHES = tuple(kind.name for kind in (UNFINISHED, ROSTER, CLASSES, JOBS, PODS))


class Stale(Scene):
    """A scene in which one watch says nothing during one step."""

    watch, step = "", -1

    async def take(self, number: int, step: Step) -> None:
        if self.process:
            self.process.frozen = self.watch if number == self.step else ""
        await super().take(number, step)
        if number == self.step:
            self.operator.frozen = ""
            await super().take(number, lambda _: None)


class Deaf(Scene):
    """A scene in which one event never comes; every step ends with a resync."""

    lost = ("", -1)

    async def take(self, number: int, step: Step) -> None:
        if self.process:
            self.process.lost = self.lost
        await super().take(number, step)
        await self.operator.resync()
        for _ in range(ROUNDS):
            await self.work()


S = TypeVar("S", bound=Scene)


async def played(scene: S, name: str) -> S:
    await scene.play(SCENARIOS[name][2])
    return scene


def like(scene: Scene, calm: Scene, where: str) -> None:
    """Assert that it came to the same, at the same price."""
    assert scene.world() == calm.world(), where
    assert scene.ends() == calm.ends(), where
    assert made_jobs(scene) == made_jobs(calm), where


def made_jobs(scene: Scene) -> list[str]:
    """Return every Job that there ever was."""
    journal = scene.cluster.journal
    return [c.object["metadata"]["name"] for c in journal if c.kind is JOBS and c.type == "ADDED"]


def new(kind: type[S], name: str) -> S:
    return kind(**SCENARIOS[name][1])


@pytest.mark.parametrize("name", SCENARIOS)
async def test_frozen_watch_changes_nothing_but_the_time(name: str) -> None:
    calm = await played(new(Scene, name), name)
    assert calm.cluster.status["reason"] == SCENARIOS[name][0]
    for step in range(1, len(SCENARIOS[name][2]) + 1):
        for watch in WATCHES:
            scene = new(Stale, name)
            scene.watch, scene.step = watch, step
            await played(scene, name)
            where = f"{watch} frozen in step {step}"
            if (name, watch) == JOB_GOES_FIRST and scene.cluster.status["reason"] == "JobLost":
                assert made_jobs(scene) == made_jobs(calm), where
            else:
                like(scene, calm, where)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_lost_event_is_made_up_for_by_the_next_resync(name: str) -> None:
    calm = await played(new(Deaf, name), name)
    assert calm.cluster.status["reason"] == SCENARIOS[name][0]
    for number, change in enumerate(calm.cluster.journal):
        for watch in watches_of(change):
            scene = new(Deaf, name)
            scene.lost = (watch.name, number)
            like(await played(scene, name), calm, f"lost: {number}, {change.type} {watch.name}")


async def test_matrices_are_as_large_as_they_are_said_to_be() -> None:
    steps = [len(steps) for _, _, steps in SCENARIOS.values()]
    events = [len((await played(new(Deaf, name), name)).cluster.journal) for name in SCENARIOS]
    assert len(WATCHES) * sum(steps) >= 200
    assert sum(events) >= 150
