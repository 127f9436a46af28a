"""What the operator puts into a Job is what the pod's half reads out of it."""

from pathlib import Path

import pytest
import yaml
from tests.operator.builders import DEFAULTS, NOW, UID, WITH_NATS, first

from agenttask_api import names
from agenttask_api.taskdocument import MAX_DOCUMENT_BYTES, TaskDocument
from agenttask_operator.actions import CreateJob
from agenttask_operator.facts import Facts
from agenttask_operator.observed import parse_class, parse_task
from agenttask_operator.planner import plan

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(kind):
    for path in sorted(EXAMPLES.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text("utf-8")):
            if document and document.get("kind") == kind:
                yield pytest.param(document, id=f"{path.stem}/{document['metadata']['name']}")


def default_class():
    (found,) = [p.values[0] for p in load("AgentClass")]
    found["metadata"].setdefault("resourceVersion", "1")
    return parse_class(found)


def build(document, defaults=DEFAULTS):
    document["metadata"] |= {"namespace": "team", "uid": UID, "generation": 1}
    class_ = default_class()
    facts = Facts(parse_task(document), defaults, {class_.name: class_})
    return first(plan(facts, NOW), CreateJob).manifest


TASKS = list(load("AgentTask"))


@pytest.mark.parametrize("document", TASKS)
def test_every_example_gets_a_job_whose_document_reads_back_equal(document):
    template = build(document)["spec"]["template"]
    text = template["metadata"]["annotations"][names.TASK_ANNOTATION]
    read = TaskDocument.model_validate_json(text)
    assert TaskDocument.model_validate_json(read.model_dump_json(by_alias=True)) == read
    assert read.prompt == document["spec"]["prompt"]
    assert read.repo.url == document["spec"]["repo"]["url"]
    assert read.identity.task_id == f"team.{document['metadata']['name']}"
    assert len(text.encode()) <= MAX_DOCUMENT_BYTES


@pytest.mark.parametrize("document", TASKS)
def test_document_is_mounted_where_every_container_looks_for_it(document):
    pod = build(document)["spec"]["template"]["spec"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "task"]
    (item,) = volume["downwardAPI"]["items"]
    assert f"{names.TASK_DIR}/{item['path']}" == names.TASK_FILE
    assert names.TASK_ANNOTATION in item["fieldRef"]["fieldPath"]
    for container in (*pod["initContainers"], *pod["containers"]):
        mounts = {m["mountPath"]: m.get("readOnly") for m in container["volumeMounts"]}
        assert mounts[names.TASK_DIR] is True


@pytest.mark.parametrize("document", TASKS)
def test_environment_is_that_of_the_contract(document):
    pod = build(document, WITH_NATS)["spec"]["template"]["spec"]
    found = {
        c["name"]: {e["name"] for e in c["env"]}
        for c in (*pod["initContainers"], *pod["containers"])
    }
    everywhere = {names.ENV_TASK_ID, "HOME", "TMPDIR"}
    identity = {names.ENV_POD_NAME, names.ENV_POD_UID}
    services = {names.ENV_VLLM_URL, names.ENV_NATS_URL, names.ENV_CLUSTER}
    expected = {
        names.CLONE: everywhere | identity,
        names.COURIER: everywhere | identity | services,
        names.AGENT: everywhere,
        names.VERIFIER: everywhere,
    }
    assert found == {name: env for name, env in expected.items() if name in found}


@pytest.mark.parametrize("document", TASKS)
def test_grace_of_the_pod_is_the_couriers(document):
    pod = build(document)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == names.GRACE_SECONDS
