"""Prompt and context from ConfigMaps: missing, found, taken over for good."""

import json
from typing import Any

import pytest
from tests.operator.builders import make_task, task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import Process

from agenttask_api import names
from agenttask_api.spec import MAX_PROMPT
from agenttask_operator.errors import Forbidden
from agenttask_operator.kinds import CONFIG_MAPS, JOBS, TASKS

PROMPT = {"configMapKeyRef": {"name": "texts", "key": "prompt.md"}}
CONTEXT = {"configMapKeyRef": {"name": "texts", "key": "notes.md"}}


def config_map(**data: str) -> dict[str, Any]:
    keys = {key.replace("_", "."): text for key, text in data.items()}
    return {"metadata": {"name": "texts", "namespace": "team"}, "data": keys}


def referring(**spec: Any) -> dict[str, Any]:
    obj = task_object(promptFrom=PROMPT, **spec)
    del obj["spec"]["prompt"]
    return obj


def documents(cluster: FakeCluster) -> list[dict[str, Any]]:
    metadata = [job["spec"]["template"]["metadata"] for job in cluster.all(JOBS)]
    return [json.loads(m["annotations"][names.TASK_ANNOTATION]) for m in metadata]


async def worked(cluster: FakeCluster, obj: dict[str, Any]) -> Process:
    cluster.put(TASKS, obj)
    process = Process(cluster)
    await process.work()
    await process.work(4)
    return process


async def test_prompt_and_context_are_taken_over_when_the_run_is_accepted():
    cluster = FakeCluster()
    cluster.put(CONFIG_MAPS, config_map(prompt_md="fix it", notes_md="use tabs"))
    process = await worked(cluster, referring(context="mine", contextFrom=[CONTEXT]))
    cluster.put(CONFIG_MAPS, config_map(prompt_md="drop it", notes_md="use spaces"))
    await process.work(60)
    (document,) = documents(cluster)
    assert document["prompt"] == "fix it"
    assert document["context"] == "mine\n\n## ConfigMap texts, notes.md\n\nuse tabs"


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        pytest.param(None, "kubectl create configmap texts -n team", id="no ConfigMap"),
        pytest.param({"other_md": "x"}, "its keys: other.md", id="no such key"),
    ],
)
async def test_what_is_missing_is_named_and_looked_for_again(
    stored: dict[str, str] | None, words: str
):
    cluster = FakeCluster()
    if stored:
        cluster.put(CONFIG_MAPS, config_map(**stored))
    process = await worked(cluster, referring())
    assert (cluster.status["phase"], cluster.status["reason"]) == ("Pending", "ReferenceNotFound")
    assert "spec.promptFrom" in cluster.status["message"]
    assert words in cluster.status["message"]
    assert process.delays
    assert not cluster.all(JOBS)
    cluster.put(CONFIG_MAPS, config_map(prompt_md="fix it"))
    await process.work(20)
    assert [d["prompt"] for d in documents(cluster)] == ["fix it"]


class Refusing(FakeCluster):
    async def get(self, kind, name, namespace=""):
        if kind is CONFIG_MAPS:
            raise Forbidden("no get on configmaps")
        return await super().get(kind, name, namespace)


async def test_a_config_map_that_may_not_be_read_is_said_to_be_one():
    cluster = Refusing()
    await worked(cluster, referring())
    assert cluster.status["reason"] == "ReferenceNotFound"
    assert "may not read ConfigMap 'texts'" in cluster.status["message"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(" \n", "holds no text", id="blank"),
        pytest.param("x" * (MAX_PROMPT + 1), f"at most {MAX_PROMPT}", id="too long"),
    ],
)
async def test_a_prompt_that_cannot_be_one_ends_the_task(text: str, words: str):
    cluster = FakeCluster()
    cluster.put(CONFIG_MAPS, config_map(prompt_md=text))
    await worked(cluster, referring())
    assert (cluster.status["phase"], cluster.status["reason"]) == ("Failed", "InvalidSpec")
    assert words in cluster.status["message"]


async def test_all_context_together_is_cut_and_always_the_same():
    found = set()
    for _ in range(3):
        cluster = FakeCluster()
        cluster.put(CONFIG_MAPS, config_map(prompt_md="fix", notes_md="line\n" * 9000))
        await worked(cluster, referring(contextFrom=[CONTEXT], contextTokens=100))
        found.add(documents(cluster)[0]["context"])
    (text,) = found
    assert "context cut at spec.contextTokens" in text
    assert len(text) <= 4 * 100 + 120


async def test_a_config_map_is_read_only_for_a_task_about_to_start():
    cluster = Refusing()
    await worked(cluster, task_object(suspend=True, contextFrom=[CONTEXT]))
    assert cluster.status["reason"] == "Suspended"


def test_another_reference_is_other_work():
    keys = [make_task(prompt="x", contextFrom=[CONTEXT]).spec, make_task(prompt="x").spec]
    assert len({spec.spec_hash() for spec in keys if spec}) == 2
