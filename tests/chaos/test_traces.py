"""The API server in a dictionary is honest: the real one leads to the same writes.

Each scene is played twice, by the same operator code: once as in the crash matrix, once
against the real API server, Job controller and garbage collector.
"""

import secrets
from collections.abc import Iterator

import pytest
from tests.chaos.harness import Api
from tests.chaos.nodes import Node
from tests.chaos.realcluster import RealCluster
from tests.operator.scenarios import SCENARIOS, Scene

from agenttask_operator.cluster import Cluster
from agenttask_operator.kinds import JOBS

PLAYED_TWICE = (
    "ends well",
    "ends well while NATS is down",
    "runs out of memory",
    "cannot clone",
    "finds no image",
    "is cancelled at work",
    "is cancelled before it starts",
    "is held and let go",
    "runs again while at work",
    "runs again after its end",
    "loses its Job",
    "asks for too much",
)


@pytest.fixture
def node(api: Api, space: str) -> Iterator[Node]:
    made = Node(api, f"{space}-{secrets.token_hex(2)}", 9)
    yield made
    made.remove()


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYED_TWICE)
async def test_real_api_server_leads_to_the_same_writes_and_the_same_end(
    api: Api, client: Cluster, space: str, node: Node, name: str
) -> None:
    reason, spec, steps = SCENARIOS[name]
    real = RealCluster(api, client, space, node)
    told = {**spec, "className": real.class_name}

    calm = await played(Scene(class_name=real.class_name, **told), name)
    scene = await played(Scene(real, class_name=real.class_name, **told), name)

    api.request("DELETE", f"/apis/agenttask.dev/v1alpha1/agentclasses/{real.class_name}")
    assert scene.cluster.status["reason"] == reason
    assert scene.cluster.steps == calm.cluster.steps
    assert ends(scene) == ends(calm)
    assert len(scene.cluster.all(JOBS)) == len(calm.cluster.all(JOBS))


async def played(scene: Scene, name: str) -> Scene:
    await scene.play(SCENARIOS[name][2])
    return scene


def ends(scene: Scene) -> tuple[object, ...]:
    phase, reason, history, _, conditions, waiting = scene.world()
    return phase, reason, history, conditions, len(waiting), len(scene.ends())
