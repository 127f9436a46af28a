"""The Job: who sees what, and what `restricted` demands."""

import pytest
from tests.operator.builders import NOW, WITH_NATS, first, make_class, make_facts, make_task

from agenttask_api import names
from agenttask_api.taskdocument import TaskDocument
from agenttask_operator.actions import CreateJob
from agenttask_operator.planner import plan

FULL_TASK = {
    "repo": {
        "url": "https://git.example/x.git",
        "credentialsRef": {"name": "git"},
        "caRef": {"name": "ca"},
    },
    "verify": [{"name": "tests", "run": ["make", "test"]}],
}
FULL_CLASS = {
    "model": {
        "endpoint": "http://vllm.example",
        "apiKeySecretRef": {"name": "key", "key": "token"},
    },
    "toolchains": [{"name": "go", "image": "go:1"}],
    "defaultToolchain": "go",
    "nats": {"credsSecretRef": {"name": "creds"}, "tlsSecretRef": {"name": "tls"}},
    "pod": {
        "nodeSelector": {"pool": "agents"},
        "labels": {"team": "x", names.LABEL_TASK: "forged"},
        "tolerations": [{"key": "agents", "operator": "Exists"}],
    },
}


def build(task=None, class_=None, defaults=WITH_NATS):
    facts = make_facts(
        make_task(**(FULL_TASK if task is None else task)),
        classes={"standard": make_class(**(FULL_CLASS if class_ is None else class_))},
        defaults=defaults,
    )
    return first(plan(facts, NOW), CreateJob).manifest


def pod_of(job):
    return job["spec"]["template"]["spec"]


def containers(job):
    pod = pod_of(job)
    return {c["name"]: c for c in (*pod["initContainers"], *pod["containers"])}


def mounts(container):
    return {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]}


def env(container):
    return {e["name"]: e.get("value") for e in container["env"]}


ALL = (names.CLONE, names.VERIFIER, names.COURIER, names.AGENT)


def test_containers_come_in_the_order_of_the_contract():
    assert tuple(containers(build())) == ALL


def test_verifier_is_there_only_when_there_is_something_to_verify():
    job = build(task={})
    assert names.VERIFIER not in containers(job)
    assert not any("verifier" in v["name"] for v in pod_of(job)["volumes"])


@pytest.mark.parametrize("name", ALL)
def test_container_is_restricted(name):
    security = containers(build())[name]["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize("name", ALL)
def test_container_has_its_own_temporary_folders(name):
    own = [m for m in containers(build())[name]["volumeMounts"] if m["name"].endswith(f"-{name}")]
    assert {m["mountPath"] for m in own} == {names.TMP_DIR, names.HOME_DIR, names.SHM_DIR}


def test_pod_has_no_identity_in_the_cluster():
    pod = pod_of(build())
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert "runAsUser" not in pod["securityContext"]


def test_agent_holds_nothing():
    agent = containers(build())[names.AGENT]
    assert set(env(agent)) == {"TASK_ID", "HOME", "TMPDIR"}
    assert not any(path.startswith("/secrets") for path in mounts(agent))
    assert mounts(agent)[names.DOOR_DIR] is True
    assert mounts(agent)[names.WORKSPACE_DIR] is False
    assert names.PRISTINE_DIR not in mounts(agent)


def test_verifier_holds_nothing():
    verifier = containers(build())[names.VERIFIER]
    shared = {
        p for p in mounts(verifier) if p not in (names.TMP_DIR, names.HOME_DIR, names.SHM_DIR)
    }
    assert shared == {names.CHECKOUT_DIR, names.VERIFIER_DOOR_DIR, names.TASK_DIR}
    assert set(env(verifier)) == {"TASK_ID", "HOME", "TMPDIR"}


def test_courier_sees_the_workspace_read_only_and_every_secret():
    courier = containers(build())[names.COURIER]
    assert mounts(courier)[names.WORKSPACE_DIR] is True
    secrets = {path for path in mounts(courier) if path.startswith("/secrets")}
    assert secrets == {
        names.GIT_SECRET_DIR,
        names.GIT_CA_DIR,
        names.MODEL_SECRET_DIR,
        names.NATS_CREDS_DIR,
        names.NATS_TLS_DIR,
    }
    assert env(courier)["VLLM_URL"] == "http://vllm.example"
    assert env(courier)["NATS_URL"] == "nats://nats.example:4222"
    assert courier["lifecycle"]["preStop"]["exec"]["command"] == ["agenttask-courier", "drain"]
    assert courier["restartPolicy"] == "Always"


def test_clone_has_only_the_credentials_of_git():
    clone = containers(build())[names.CLONE]
    secrets = {path for path in mounts(clone) if path.startswith("/secrets")}
    assert secrets == {names.GIT_SECRET_DIR, names.GIT_CA_DIR}
    assert "restartPolicy" not in clone


def test_every_mount_has_a_volume_and_every_volume_a_mount():
    job = build()
    used = {m["name"] for c in containers(job).values() for m in c["volumeMounts"]}
    assert used == {v["name"] for v in pod_of(job)["volumes"]}


def test_task_images_do_not_run_the_trusted_half():
    images = {name: c["image"] for name, c in containers(build()).items()}
    assert images == {
        "clone": "agent:dev",
        "courier": "agent:dev",
        "verifier": "go:1",
        "agent": "go:1",
    }


def test_retries_are_denied_unless_asked_for():
    spec = build()["spec"]
    ignore, clone, agent = spec["podFailurePolicy"]["rules"]
    assert ignore["action"] == "Ignore"
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    for rule, name in ((clone, names.CLONE), (agent, names.AGENT)):
        assert rule["action"] == "FailJob"
        assert rule["onExitCodes"] == {"containerName": name, "operator": "NotIn", "values": [75]}
    assert spec["podReplacementPolicy"] == "Failed"
    assert pod_of(build())["restartPolicy"] == "Never"


def test_only_the_pod_has_a_deadline():
    job = build()
    assert "activeDeadlineSeconds" not in job["spec"]
    assert pod_of(job)["activeDeadlineSeconds"] == 600 + 3600 + 900 + 60


def test_document_travels_whole():
    job = build()
    text = job["spec"]["template"]["metadata"]["annotations"][names.TASK_ANNOTATION]
    document = TaskDocument.model_validate_json(text)
    assert document.identity.name == "fix"
    assert document.prompt == "fix it"


def test_labels_of_the_class_do_not_replace_ours():
    labels = build()["spec"]["template"]["metadata"]["labels"]
    assert (labels[names.LABEL_TASK], labels["team"]) == ("fix", "x")


def test_owner_is_the_task():
    (owner,) = build()["metadata"]["ownerReferences"]
    assert owner["controller"]
    assert owner["blockOwnerDeletion"]


def test_same_facts_give_the_same_job():
    assert build() == build()


def test_finished_job_outlives_a_short_absence_of_the_operator():
    assert build({"ttlSecondsAfterFinished": 0})["spec"]["ttlSecondsAfterFinished"] == 300
