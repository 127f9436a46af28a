"""Kill the operator just before and just after every step of every scenario.

A scenario is played once in peace, with every write, Event and message recorded; then once
for each of them and each side of it, with a crash there and a new process that starts from
nothing. The world must end the same: one Job for each run, no end of a run lost, none with
another content.
"""

import pytest
from tests.operator.scenarios import SCENARIOS, Scene

from agenttask_operator.kinds import JOBS


async def played(name: str, side: str = "", step: int = 0) -> Scene:
    _, spec, steps = SCENARIOS[name]
    scene = Scene(**spec)
    if side:
        setattr(scene.cluster, side, step)
    await scene.play(steps)
    return scene


@pytest.mark.parametrize("name", SCENARIOS)
async def test_crash_at_any_step_changes_nothing(name: str) -> None:
    calm = await played(name)
    assert calm.cluster.status["reason"] == SCENARIOS[name][0]
    # An operator that waits for ever would end every crash the same.
    asked = calm.cluster.task["metadata"]["generation"]
    assert calm.cluster.status["observedGeneration"] == asked
    for step, what in enumerate(calm.cluster.steps, 1):
        for side in ("fail_before", "fail_after"):
            scene = await played(name, side, step)
            where = f"{side} of step {step}, {what}"
            assert scene.crashes == 1, where
            assert scene.world() == calm.world(), where
            assert scene.ends() == calm.ends(), where
            assert scene.records() == calm.records(), where
            assert len(scene.cluster.all(JOBS)) == len(calm.cluster.all(JOBS)), where


async def test_matrix_is_as_large_as_it_is_said_to_be() -> None:
    steps = [len((await played(name)).cluster.steps) for name in SCENARIOS]
    assert len(SCENARIOS) >= 12
    assert 2 * sum(steps) >= 150
