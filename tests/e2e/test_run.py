"""A task's way to a verified branch, a status and a NATS result."""

import json

import yaml
from tests.e2e.tasks import (
    PYTEST,
    Home,
    condition,
    eventually,
    finished,
    jobs,
    pods,
    status,
    task,
    until,
)

from agenttask_testbed.commands import ROOT, Kubectl
from agenttask_testbed.demo import WHERE, git, nats_result

HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'


def example(name: str) -> str:
    return (ROOT / "examples" / f"{name}.yaml").read_text("utf-8")


def demo_home(testbed: Kubectl) -> Home:
    return Home(testbed, WHERE)


def test_the_reference_task_becomes_a_verified_branch(testbed: Kubectl) -> None:
    home = demo_home(testbed)
    home.apply(example("hello-world"))

    state = until(home, "hello-world", phase="Succeeded", verdict="Verified")

    commit = state["artifacts"]["commitSHA"]
    assert state["artifacts"]["branch"] == "agenttask/hello-world"
    assert git(testbed, "rev-parse", "agenttask/hello-world").strip() == commit
    assert git(testbed, "rev-parse", f"{commit}^").strip() == state["artifacts"]["baseCommit"]
    assert state["artifacts"]["filesChanged"] == ["utils.py"]
    assert state["artifacts"]["tests"] == {"passed": 4, "failed": 0, "skipped": 0}
    assert state["usage"]["totalTokens"] > 0
    assert state["operations"]["total"] > 0
    assert condition(state, "Ready")["status"] == "True"
    assert len(jobs(home, "hello-world")) == 1
    assert len(pods(home, "hello-world")) == 1


def test_the_result_is_in_nats_with_the_same_facts(testbed: Kubectl) -> None:
    home = demo_home(testbed)
    home.apply(example("hello-world"))
    state = until(home, "hello-world", phase="Succeeded")

    result = nats_result(testbed, "hello-world")

    assert result["success"] is True
    assert result["task_id"] == f"{WHERE}.hello-world"
    assert result["artifacts"]["change"]["commit_sha"] == state["artifacts"]["commitSHA"]
    assert {r["name"] for r in state["artifacts"]["refs"]} >= {"change.patch", "transcript.jsonl"}
    assert condition(state, "ArtifactsStored")["status"] == "True"
    assert condition(state, "EventsPublished")["status"] == "True"


def test_a_change_that_breaks_a_test_is_refused(testbed: Kubectl) -> None:
    home = demo_home(testbed)
    home.apply(example("hello-world-wrong"))

    state = until(home, "hello-world-wrong", phase="Failed", reason="VerificationFailed")

    assert state["verdict"] == "Rejected"
    assert state["artifacts"]["tests"]["failed"] >= 1
    assert "tests" in state["message"]
    assert condition(state, "Stalled")["status"] == "True"
    assert git(testbed, "branch", "--list", "agenttask/hello-world-wrong").strip() == ""


def test_applied_again_unchanged_a_task_shows_its_outcome_and_makes_no_job(home: Home) -> None:
    good = task("once", HELLO, verify=[PYTEST])
    bad = task("once-wrong", HELLO, verify=[{"name": "no", "run": ["false"]}])
    home.apply(good, bad)
    before = {name: finished(home, name) for name in ("once", "once-wrong")}
    assert [s["phase"] for s in before.values()] == ["Succeeded", "Failed"]

    home.run("delete", "agenttask", "once", "once-wrong", "--cascade=foreground")
    home.apply(good, bad)

    for name, was in before.items():
        state = finished(home, name, 30)
        for field in ("phase", "verdict", "reason", "artifacts", "usage"):
            assert state.get(field) == was.get(field)
        assert "has run before" in state["message"]
        assert jobs(home, name) == []
    assert "change spec.runID" in state["message"]
    assert condition(state, "Stalled")["status"] == "True"

    home.apply({**good, "spec": {**good["spec"], "runID": "2"}})
    eventually(lambda: status(home, "once")["run"]["id"] == "2", 30, "the new run")
    assert finished(home, "once")["phase"] == "Succeeded"
    assert len(jobs(home, "once")) == 1


def test_a_task_runs_under_any_uid_with_group_zero(home: Home) -> None:
    """OpenShift gives every namespace a uid of its own; an admission policy does it here."""
    home.kubectl.apply(*yaml.safe_load_all(RANDOM_UID.replace("NAMESPACE", home.namespace)))
    try:
        eventually(lambda: "1000650000" in home.run(*PROBE), 30, "the policy to be in force")
        home.apply(task("any-uid", HELLO, verify=[PYTEST]))
        until(home, "any-uid", phase="Succeeded", verdict="Verified")
        assert pods(home, "any-uid")[0]["spec"]["securityContext"]["runAsUser"] == 1000650000
    finally:
        home.kubectl(
            "delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", "random-uid"
        )


def test_a_task_without_verify_is_unverified_and_without_verifier(home: Home) -> None:
    home.apply(task("plain", HELLO))

    state = until(home, "plain", phase="Succeeded")

    assert state["verdict"] == "Unverified"
    names = [c["name"] for c in pods(home, "plain")[0]["spec"]["initContainers"]]
    assert names == ["clone", "courier"]


def test_the_agent_container_holds_nothing(home: Home) -> None:
    home.apply(task("bare", HELLO, verify=[PYTEST]))
    finished(home, "bare")

    spec = pods(home, "bare")[0]["spec"]
    agent = spec["containers"][0]
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in agent["volumeMounts"]}

    assert not [path for path in mounts if path.startswith("/secrets") or "serviceaccount" in path]
    assert mounts["/door"] is True
    assert {e["name"] for e in agent["env"]} <= {
        "TASK_ID",
        "HOME",
        "TMPDIR",
        "JOB_COMPLETION_INDEX",
    }
    assert "password" not in json.dumps(agent)


OVERRIDES = json.dumps(
    {
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "probe",
                    "image": "none",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        }
    }
)
PROBE = ("run", "probe", "--image=none", "--dry-run=server", "-o", "yaml", "--overrides", OVERRIDES)
RANDOM_UID = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: random-uid}
spec:
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
    - patchType: ApplyConfiguration
      applyConfiguration:
        expression: >-
          Object{spec: Object.spec{securityContext: Object.spec.securityContext{
          runAsUser: 1000650000, runAsGroup: 0, fsGroup: 0}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: random-uid}
spec: {policyName: random-uid}
"""
