"""Why a task waits or has failed, provoked at the real API server, scheduler and controllers.

All tasks are made first, so that they wait for each other's blockers at the same time. What
a kubelet would say of a pod is said by `Api.say`; what needs a real kubelet is in `tests/e2e`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.chaos.harness import PROMPT, Api, Object, over, running
from tests.chaos.home import Home, at_home
from tests.chaos.nodes import Node, drain, path_of, preempt
from tests.e2e.tasks import condition, eventually

from agenttask_api import names
from agenttask_api.reasons import Reason, meaning
from agenttask_api.spec import AgentTaskSpec

SEEN_SECONDS = 15
"""Within this a person sees in `kubectl get` what is wrong."""
MANY_RETRIES = {"retries": 3}
KUBELETS_EVICTION = {
    "conditions": [
        {"type": "PodScheduled", "status": "True"},
        {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"},
    ],
    "reason": "Evicted",
    "message": "The node was low on resource: memory. ",
}


@dataclass(frozen=True)
class Death:
    """What a kubelet says of a pod that ends for good, and what the task must say then."""

    reason: Reason
    words: str
    also: Object = field(default_factory=dict)
    containers: Object = field(default_factory=dict)
    limits: Object = field(default_factory=lambda: MANY_RETRIES)
    phase: str = "Failed"


STORAGE = 'Container agent exceeded its local ephemeral storage limit "1Gi". '
EMPTY_DIR = 'Usage of EmptyDir volume "workspace" exceeds the limit "10Gi". '
LATE = "Pod was active on the node longer than the specified deadline"
DEATHS: dict[str, Death] = {
    "no-result": Death(Reason.NO_RESULT, "exit code 1", containers={"agent": over(1)}),
    "silent": Death(
        Reason.NO_RESULT, "exit code 0", containers={"agent": over(0)}, phase="Succeeded"
    ),
    "killed": Death(Reason.NO_RESULT, "exit code 137", containers={"agent": over(137)}),
    "memory": Death(
        Reason.OOM_KILLED, "memory", containers={"agent": over(137, reason="OOMKilled")}
    ),
    "late": Death(
        Reason.DEADLINE_EXCEEDED,
        "deadline",
        {"reason": "DeadlineExceeded", "message": LATE},
        {"agent": over(137)},
    ),
    "storage": Death(
        Reason.EVICTED,
        "ephemeral storage",
        {"reason": "Evicted", "message": STORAGE},
        {"agent": over(137)},
    ),
    "workspace": Death(
        Reason.WORKSPACE_FULL,
        "EmptyDir",
        {"reason": "Evicted", "message": EMPTY_DIR},
        {"agent": over(137)},
    ),
    "clone": Death(Reason.CLONE_FAILED, "exit code 1", containers={"clone": over(1)}),
    "admission": Death(
        Reason.INTERNAL_ERROR,
        "UnexpectedAdmissionError",
        {"reason": "UnexpectedAdmissionError", "message": "no such device"},
        limits={"retries": 0},
    ),
}
SECOND_PODS: dict[str, Reason] = {
    "drained": Reason.EVICTED,
    "pressed": Reason.EVICTED,
    "preempted": Reason.EVICTED,
    "node-lost": Reason.NODE_LOST,
    "busy-model": Reason.NO_RESULT,
    "busy-git": Reason.CLONE_FAILED,
}
"""All that may start a second pod: four disruptions, and exit 75 of agent or clone."""


@pytest.fixture(scope="module")
def home(api: Api, crds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("reasons")
    with at_home(api, crds.kubeconfig, folder, "reasons", "poor", "strict", "policed") as home:
        restrict(home)
        for end in ("poor", "strict", "policed"):
            api.make_task(f"{home.space}-{end}", end)
        for name in ("superseded", "begun", "told", "progress"):
            api.make_task(home.space, name)
        api.make_task(home.space, "unplaceable")
        api.make_task(home.space, "taken", suspend=True)
        api.make_task(home.space, "invalid", toolchain="none")
        for name, death in DEATHS.items():
            api.make_task(home.space, name, limits=death.limits)
        for name in SECOND_PODS:
            api.make_task(home.space, name, limits=MANY_RETRIES)
        yield home
        remove_policy(api, home.space)


POLICY = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"


def restrict(home: Home) -> None:
    """Make a namespace without room for a pod, one with a floor, and one that refuses Jobs."""
    core = "/api/v1/namespaces/{}-{}/{}"
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    home.api.request("POST", core.format(home.space, "poor", "resourcequotas"), quota)
    floor = [{"type": "Container", "min": {"memory": "64Gi"}}]
    ranges = {"metadata": {"name": "floor"}, "spec": {"limits": floor}}
    home.api.request("POST", core.format(home.space, "strict", "limitranges"), ranges)
    refuse_jobs(home.api, home.space)


def refuse_jobs(api: Api, space: str) -> None:
    """Refuse every Job in words that quote its task document, as a careless policy might."""
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": f"{space}-policed"}}
    document = f"object.spec.template.metadata.annotations['{names.TASK_ANNOTATION}']"
    quoting = {"expression": "false", "messageExpression": f"'not on Fridays: ' + {document}"}
    spec = {
        "matchConstraints": {"resourceRules": [{**rule, "operations": ["CREATE"]}]},
        "validations": [quoting],
    }
    api.request("POST", f"{POLICY}ies", {"metadata": {"name": space}, "spec": spec})
    bound = {
        "policyName": space,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": here},
    }
    api.request("POST", f"{POLICY}ybindings", {"metadata": {"name": space}, "spec": bound})
    job = a_job("probe")
    job["spec"]["template"]["metadata"] = {"annotations": {names.TASK_ANNOTATION: ""}}
    jobs = f"/apis/batch/v1/namespaces/{space}-policed/jobs?dryRun=All"
    eventually(lambda: "Fridays" in api.refusal(jobs, job), 30, "the policy to be in force")


def a_job(name: str) -> Object:
    """Return a Job of somebody else."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}
    return {"metadata": {"name": name}, "spec": {"suspend": True, "template": {"spec": pod}}}


def remove_policy(api: Api, space: str) -> None:
    api.request("DELETE", f"{POLICY}ybindings/{space}")
    api.request("DELETE", f"{POLICY}ies/{space}")


def explained(state: Object, reason: Reason, *words: str) -> None:
    """Assert that a status names the reason, tells the words, and what to do."""
    assert state["reason"] == reason
    for each in (*words, meaning(reason).hint):
        assert each in state["message"]


BLOCKED = {
    "poor": (Reason.QUOTA_EXCEEDED, "exceeded quota"),
    "strict": (Reason.POD_CREATION_DENIED, "64Gi"),
    "policed": (Reason.POD_CREATION_DENIED, "not on Fridays"),
}


@pytest.mark.parametrize("end", BLOCKED)
def test_cluster_that_takes_no_pod_is_quoted_and_nothing_is_running(home: Home, end: str) -> None:
    reason, words = BLOCKED[end]
    there = Home(home.api, f"{home.space}-{end}", home.operator, home.nats)
    state = there.until(end, SEEN_SECONDS, reason=reason)
    explained(state, reason, words)
    assert state["phase"] == "Pending"
    assert condition(state, "Ready")["status"] == "Unknown"
    if there.jobs(end):
        assert condition(state, "Scheduled")["status"] == "False"
    assert there.api.pods(there.space, end) == []
    events = there.api.items(f"/api/v1/namespaces/{there.space}/events")
    told = [e for e in events if e["involvedObject"]["kind"] == "AgentTask"]
    assert PROMPT not in str([state, told])


def test_pod_that_fits_no_node_is_explained(home: Home) -> None:
    state = home.until("unplaceable", SEEN_SECONDS, reason="Unschedulable")
    explained(state, Reason.UNSCHEDULABLE, "node")
    assert state["phase"] == "Pending"


def test_job_of_somebody_else_with_our_name_is_left_alone(home: Home) -> None:
    home.until("taken", SEEN_SECONDS, reason="Suspended")
    task = home.api.task(home.space, "taken")
    key = AgentTaskSpec.model_validate({**task["spec"], "suspend": False}).run_key()
    name = names.job_name("taken", task["metadata"]["uid"], key)
    jobs = f"/apis/batch/v1/namespaces/{home.space}/jobs"
    foreign = home.api.request("POST", jobs, a_job(name))
    home.api.request("PATCH", home.path("taken"), {"spec": {"suspend": False}})

    state = home.until("taken", SEEN_SECONDS, reason="NameConflict")

    explained(state, Reason.NAME_CONFLICT, name)
    now = home.api.get(f"{jobs}/{name}")
    assert now["metadata"]["uid"] == foreign["metadata"]["uid"]
    assert now["spec"]["suspend"] is True


def test_toolchain_that_the_class_does_not_have_is_an_invalid_spec(home: Home) -> None:
    state = home.until("invalid", SEEN_SECONDS, phase="Failed")
    explained(state, Reason.INVALID_SPEC, "none")
    assert home.jobs("invalid") == []


def test_run_that_a_newer_one_replaces_is_superseded(home: Home) -> None:
    home.pod("superseded")
    home.until("superseded", SEEN_SECONDS, reason="Unschedulable")
    home.api.request("PATCH", home.path("superseded"), {"spec": {"runID": "2"}})
    eventually(
        lambda: [r["reason"] for r in home.status("superseded").get("runs", [])] == ["Superseded"],
        SEEN_SECONDS,
        "the first run to be superseded",
    )


def test_suspending_a_task_that_has_started_is_answered(home: Home) -> None:
    home.api.say(home.pod("begun"), "Running", clone=over(0), agent=running())
    home.until("begun", SEEN_SECONDS, phase="Running")
    home.api.request("PATCH", home.path("begun"), {"spec": {"suspend": True}})
    answered = eventually(
        lambda: [
            c for c in home.status("begun")["conditions"] if c.get("reason") == "SuspendIgnored"
        ],
        SEEN_SECONDS,
        "suspend to be answered",
    )
    assert "spec.cancel" in answered[0]["message"]
    assert home.status("begun")["phase"] == "Running"


def test_progress_is_told_step_by_step(home: Home) -> None:
    pod = home.pod("progress")
    waits = {"waiting": {"reason": "PodInitializing"}}
    home.api.say(pod, "Pending", clone=waits, agent=waits)
    home.until("progress", SEEN_SECONDS, reason="Preparing", phase="Pending")
    home.api.say(pod, "Pending", clone=running(), agent=waits)
    home.until("progress", SEEN_SECONDS, reason="Cloning", phase="Pending")
    home.api.say(pod, "Running", clone=over(0), agent=running())
    home.until("progress", SEEN_SECONDS, reason="Running", phase="Running")
    home.api.say(pod, "Running", clone=over(0), courier=running(), agent=over(0))
    home.until("progress", SEEN_SECONDS, reason="Publishing", phase="Running")


@pytest.mark.parametrize("name", DEATHS)
def test_death_is_named_and_starts_no_second_pod(home: Home, name: str) -> None:
    death = DEATHS[name]
    home.api.say(home.pod(name), death.phase, death.also, **death.containers)

    state = home.until(name, SEEN_SECONDS, phase="Failed", reason=death.reason)

    explained(state, death.reason, death.words, "runID")
    ended = {"Failed", "Complete"}
    eventually(
        lambda: any(
            ended & {c["type"] for c in j["status"].get("conditions", [])} for j in home.jobs(name)
        ),
        SEEN_SECONDS,
        "the Job to end",
    )
    assert len(home.api.pods(home.space, name)) == 1
    assert [a["reason"] for a in state["attempts"]] == [death.reason]


@pytest.fixture(scope="module")
def nodes(api: Api, home: Home) -> Iterator[list[Node]]:
    """A node that will be lost, one to be drained, and a full one."""
    made = [Node(api, f"{home.space}-{n}", pods) for n, pods in enumerate((9, 9, 1))]
    yield made
    for node in made:
        node.remove()


@pytest.fixture(scope="module")
def disrupted(home: Home, nodes: list[Node]) -> dict[str, Object]:
    """Every task of SECOND_PODS has lost its first pod; returns those."""
    first = {name: home.pod(name) for name in SECOND_PODS}
    for name, node in zip(("node-lost", "drained", "preempted"), nodes, strict=True):
        node.bind(first[name])
        home.api.say(first[name], "Running", clone=over(0), agent=running())
    nodes[0].lose()
    drain(home.api, first["drained"])
    preempt(home.api, nodes[2], home.space)
    for name in ("node-lost", "drained", "preempted"):
        be_the_kubelet(home.api, first[name])
    home.api.say(first["pressed"], "Failed", KUBELETS_EVICTION, agent=over(137))
    home.api.say(first["busy-model"], "Failed", agent=over(names.EX_TEMPFAIL))
    home.api.say(first["busy-git"], "Failed", clone=over(names.EX_TEMPFAIL))
    return first


def be_the_kubelet(api: Api, pod: Object) -> None:
    """End a pod once the control plane has asked for it, and let it go."""

    def asked() -> Object | None:
        now = api.get(path_of(pod))
        return now if now["metadata"].get("deletionTimestamp") else None

    now = eventually(asked, 30, f"{pod['metadata']['name']} to be disrupted")
    assert any(c["type"] == "DisruptionTarget" for c in now["status"]["conditions"])
    also = {"conditions": now["status"]["conditions"]}
    api.say(now, "Failed", also, clone=over(0), agent=over(143))
    api.request("DELETE", f"{path_of(pod)}?gracePeriodSeconds=0")


@pytest.mark.parametrize("name", SECOND_PODS)
def test_disruption_and_exit_75_are_followed_by_one_other_pod(
    home: Home, disrupted: dict[str, Object], name: str
) -> None:
    def told() -> Object | None:
        state = home.status(name)
        return state if len(state.get("attempts", [])) == 2 else None

    state = eventually(told, 30, "a second attempt")

    assert state["phase"] == "Pending"
    assert state["attempts"][0]["reason"] == SECOND_PODS[name]
    assert state["attempts"][0]["podName"] == disrupted[name]["metadata"]["name"]
    alive = [p for p in home.api.pods(home.space, name) if p["status"]["phase"] not in ("Failed",)]
    assert [p["metadata"]["name"] for p in alive] == [state["attempts"][1]["podName"]]
    assert len(home.jobs(name)) == 1


def test_end_that_nats_did_not_take_says_so_until_it_does(home: Home) -> None:
    """The last one here, since it takes NATS away."""
    home.pod("told")
    home.nats.stop()
    home.api.say(home.pod("told"), "Failed", agent=over(1))
    state = home.until("told", SEEN_SECONDS, phase="Failed", reason="NoResult")
    waiting = condition(state, "EventsPublished")
    assert (waiting["status"], waiting["reason"]) == ("False", "NATSUnavailable")
    home.nats.start()
    eventually(
        lambda: condition(home.status("told"), "EventsPublished")["status"] == "True",
        60,
        "NATS to be told",
    )
