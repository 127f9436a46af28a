"""The wall around a class's pods: which holes it has, and that it stands before they do."""

from dataclasses import replace
from typing import Any

import pytest
from tests.operator.builders import NOW, make_class, make_facts, make_task, run_key, task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import KEY, Process

from agenttask_api import names
from agenttask_operator.actions import ApplyPolicy, CreateJob
from agenttask_operator.classstatus import Wall, class_status
from agenttask_operator.errors import Forbidden
from agenttask_operator.facts import Defaults
from agenttask_operator.kinds import JOBS, POLICIES, TASKS
from agenttask_operator.models import Health
from agenttask_operator.networkpolicy import build_policy, unopened
from agenttask_operator.planner import plan

DNS: dict[str, Any] = {"ports": [{"protocol": "UDP", "port": 53}]}
WALLED = Defaults("agent:dev", "nats://nats.nats.svc:4222", egress=(DNS,))


def rules(endpoint: str = "http://vllm.example", operators: str = "", **spec: Any) -> list[Any]:
    class_ = make_class(model={"endpoint": endpoint}, **spec)
    found: list[Any] = build_policy(class_, "team", (), operators)["spec"]["egress"]
    return found


def in_namespace(name: str) -> dict[str, Any]:
    labels = {"kubernetes.io/metadata.name": name}
    return {"to": [{"namespaceSelector": {"matchLabels": labels}}]}


def at(cidr: str, port: int) -> dict[str, Any]:
    return {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"protocol": "TCP", "port": port}]}


@pytest.mark.parametrize(
    ("endpoint", "hole"),
    [
        ("http://vllm.models.svc:8000", in_namespace("models")),
        ("http://vllm.models.svc.cluster.local", in_namespace("models")),
        ("http://vllm:8000", in_namespace("team")),
        ("http://10.1.2.3:8000", at("10.1.2.3/32", 8000)),
        ("https://10.1.2.3", at("10.1.2.3/32", 443)),
        ("http://[fd00::1]:8000", at("fd00::1/128", 8000)),
    ],
)
def test_endpoint_is_opened_where_a_policy_can_say_it(endpoint: str, hole: dict[str, Any]) -> None:
    assert rules(endpoint) == [hole]


def test_name_outside_is_not_opened_but_named() -> None:
    class_ = make_class(model={"endpoint": "https://models.example.com"})
    assert class_.spec
    assert rules("https://models.example.com") == []
    assert unopened(class_.spec, "nats://nats.nats.svc:4222") == ["https://models.example.com"]


def test_nats_engine_and_egress_are_opened() -> None:
    found = rules(
        "http://vllm.models.svc",
        "nats://nats.nats.svc:4222",
        toolchains=[{"name": "a", "dockerHost": "tcp://10.9.9.9:2375"}, {"name": "b"}],
        egress=[
            {"cidr": "10.5.0.0/16", "ports": [5432, 6379]},
            {"namespaceSelector": {"matchLabels": {"proxy": "packages"}}},
        ],
    )
    assert found == [
        in_namespace("models"),
        in_namespace("nats"),
        at("10.9.9.9/32", 2375),
        {
            "to": [{"ipBlock": {"cidr": "10.5.0.0/16"}}],
            "ports": [{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 6379}],
        },
        {"to": [{"namespaceSelector": {"matchLabels": {"proxy": "packages"}}}]},
    ]


def test_a_class_with_its_own_nats_does_not_reach_the_operators() -> None:
    own = rules("http://vllm.models.svc", "nats://nats.nats.svc", nats={"url": "nats://n.own.svc"})
    assert own == [in_namespace("models"), in_namespace("own")]


def test_collector_is_opened_for_every_class_or_named() -> None:
    class_ = make_class()
    assert class_.spec
    opened = build_policy(class_, "team", (), "", "http://otel.monitoring.svc:4318")
    assert in_namespace("monitoring") in opened["spec"]["egress"]
    outside = "https://otel.example.com"
    assert outside in unopened(class_.spec, "", outside)
    wall = Wall(True, "True", "", outside)
    said = class_status(class_, Health(), 0, 0, NOW, wall).conditions
    assert [c.type for c in said if outside in c.message] == ["EgressEnforced"]


def test_policy_of_a_traced_run_opens_the_collector() -> None:
    facts = make_facts(defaults=replace(WALLED, otlp_endpoint="http://otel.monitoring.svc:4318"))
    (policy,) = (a for a in plan(facts, NOW) if isinstance(a, ApplyPolicy))
    assert in_namespace("monitoring") in policy.manifest["spec"]["egress"]


def test_nothing_comes_in_and_the_policy_is_the_classes() -> None:
    policy = build_policy(make_class(), "team", (DNS,), "")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]
    assert policy["spec"]["egress"][0] == DNS
    assert policy["metadata"]["ownerReferences"][0]["name"] == "standard"


def test_policy_selects_exactly_the_pods_of_the_class() -> None:
    policy, job = plan(make_facts(defaults=WALLED), NOW)[:2]
    assert isinstance(policy, ApplyPolicy)
    assert isinstance(job, CreateJob)
    selected = policy.manifest["spec"]["podSelector"]["matchLabels"]
    labels = job.manifest["spec"]["template"]["metadata"]["labels"]
    assert selected.items() <= labels.items()
    assert selected[names.LABEL_CLASS] == "standard"


def test_long_class_names_stay_apart_in_labels() -> None:
    one, two = (names.class_label("c" * 70 + end) for end in ("1", "2"))
    assert one != two
    assert len(one) == len(two) == 63


def test_without_the_setting_no_policy_is_made() -> None:
    assert not [a for a in plan(make_facts(), NOW) if isinstance(a, ApplyPolicy)]


def walled(cluster: FakeCluster) -> Process:
    process = Process(cluster, defaults=WALLED)
    cluster.put(TASKS, task_object())
    process.look()
    return process


async def test_policy_stands_before_the_job() -> None:
    cluster = FakeCluster()
    await walled(cluster).reconciler.reconcile(KEY)
    assert cluster.writes[:2] == ["apply policy", "create job"]
    assert len(cluster.all(POLICIES)) == 1


async def test_refused_policy_holds_the_job_back_and_is_told() -> None:
    cluster = FakeCluster()
    cluster.refuse_policies = Forbidden("networkpolicies is forbidden")
    process = walled(cluster)
    await process.reconciler.reconcile(KEY)
    process.now = NOW.replace(second=10)
    await process.reconciler.reconcile(KEY)
    assert not cluster.all(JOBS)
    assert cluster.status["reason"] == "PodCreationDenied"
    assert "its NetworkPolicy was refused" in cluster.status["message"]


async def test_policy_is_written_once_for_many_tasks() -> None:
    cluster = FakeCluster()
    process = walled(cluster)
    await process.reconciler.reconcile(KEY)
    task = make_task(runID="2")
    actions = plan(make_facts(task, defaults=WALLED), NOW)
    assert run_key(runID="2") != run_key()
    await process.reconciler.actor.act(task, actions)
    assert cluster.writes.count("apply policy") == 1


@pytest.mark.parametrize(
    ("wall", "said"),
    [
        (Wall(False, "Unknown"), ("False", "NotMade")),
        (Wall(False, "True"), ("False", "NotMade")),
        (Wall(True, "Unknown"), ("Unknown", "NotProven")),
        (Wall(True, "True"), ("True", "Declared")),
        (Wall(True, "False"), ("False", "Declared")),
    ],
)
def test_class_says_whether_its_egress_is_enforced(wall: Wall, said: tuple[str, str]) -> None:
    class_ = make_class(model={"endpoint": "https://models.example.com"})
    status = class_status(class_, Health(), 0, 0, NOW, wall)
    told = next(c for c in status.conditions if c.type == "EgressEnforced")
    assert (told.status, told.reason) == said
    assert wall.made == ("spec.egress has to open https://models.example.com" in told.message)
