"""What the operator writes about tools is what courier and agent make of it."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from tests.operator.builders import NOW, first, make_class, make_facts, make_task

from agenttask_agent.tools.docker_engine import REMOTE_ADDRESS
from agenttask_agent.tools.http_policy import HostPolicy, host_policy
from agenttask_agent.tools.refusal import Denied
from agenttask_agent.tools.validators import url
from agenttask_api import names
from agenttask_api.agentclass import Toolchain
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.places import Places
from agenttask_operator.actions import CreateJob
from agenttask_operator.planner import plan

LONG = "x" * 63
CONNECTIONS: list[dict[str, Any]] = [
    {"name": "warehouse", "kind": "postgresql", "secretRef": {"name": "warehouse-db"}},
    {"name": LONG, "kind": "redis", "secretRef": {"name": "cache"}, "readOnly": False},
]
HOSTS = ("a.org", "*.a.org", "api.a.org:8443", "a.org:443", "*.x.a.org", "b.org", "*.org")
URLS = ("http://a.org", "https://a.org", "https://api.a.org:8443", "http://api.a.org",
        "http://y.x.a.org", "http://x.a.org", "http://b.org", "https://b.org:8443")  # fmt: skip


def build(class_=None, **task):
    classes = {"standard": make_class(**(class_ or {}))}
    return first(plan(make_facts(make_task(**task), classes=classes), NOW), CreateJob).manifest


def document_of(job):
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    return TaskDocument.model_validate_json(annotations[names.TASK_ANNOTATION])


def reaches(policy: HostPolicy, address: str) -> bool:
    try:
        replace(policy, resolver=lambda _host, _port: ["8.8.8.8"]).addresses(url(address))
    except Denied:
        return False
    return True


def test_keys_of_a_database_are_where_the_courier_looks_and_nowhere_else():
    job = build(tools={"connections": CONNECTIONS}, verify=[{"name": "t", "run": ["true"]}])
    pod = job["spec"]["template"]["spec"]
    root = str(Places().db_secrets)
    found = {
        c["name"]: {m["mountPath"]: m for m in c["volumeMounts"] if m["mountPath"].startswith(root)}
        for c in (*pod["initContainers"], *pod["containers"])
    }
    assert [name for name, mounts in found.items() if mounts] == [names.COURIER]
    wanted = {f"{root}/{c['name']}": c["secretRef"]["name"] for c in CONNECTIONS}
    mounts = found[names.COURIER]
    volumes = {v["name"]: v["secret"] for v in pod["volumes"] if "secret" in v}
    assert {path: volumes[m["name"]]["secretName"] for path, m in mounts.items()} == wanted
    assert all(m["readOnly"] for m in mounts.values())
    assert {volumes[m["name"]]["defaultMode"] for m in mounts.values()} == {0o440}
    assert all(len(v["name"]) <= 63 for v in pod["volumes"])


def test_a_secret_mounted_elsewhere_is_no_database():
    """Nobody but the courier mounts a Secret volume of a connection, wherever to."""
    pod = build(tools={"connections": CONNECTIONS})["spec"]["template"]["spec"]
    secrets = {v["name"] for v in pod["volumes"] if "secret" in v}
    others = [c for c in (*pod["initContainers"], *pod["containers"]) if c["name"] != names.COURIER]
    assert not [m for c in others for m in c["volumeMounts"] if m["name"] in secrets]


def test_the_document_names_the_connections():
    found = document_of(build(tools={"connections": CONNECTIONS})).connections
    assert [(c.name, c.kind, c.read_only) for c in found] == [
        ("warehouse", "postgresql", True),
        (LONG, "redis", False),
    ]


def test_connections_of_a_read_only_run_are_read_only():
    job = build(tools={"connections": CONNECTIONS}, constraints={"readOnly": True})
    assert all(c.read_only for c in document_of(job).connections)


def test_a_task_without_connections_has_no_such_mount():
    pod = build()["spec"]["template"]["spec"]
    assert not [v for v in pod["volumes"] if v["name"].startswith("db-")]


@pytest.mark.parametrize(("asked", "allowed"), list(itertools.product(HOSTS, HOSTS)))
def test_the_agent_reaches_exactly_what_both_lists_allow(asked: str, allowed: str):
    classes = {"standard": make_class(tools={"httpHosts": [allowed]})}
    actions = plan(make_facts(make_task(tools={"httpHosts": [asked]}), classes=classes), NOW)
    made = [a.manifest for a in actions if isinstance(a, CreateJob)]
    hosts = document_of(made[0]).http_hosts if made else ()
    ours, both = host_policy((), hosts), host_policy([asked], [allowed])
    assert [reaches(ours, u) for u in URLS] == [reaches(both, u) for u in URLS]


def test_a_class_without_hosts_refuses_a_task_that_names_one():
    facts = make_facts(make_task(tools={"httpHosts": ["a.org"]}))
    actions = plan(facts, NOW)
    assert not [a for a in actions if isinstance(a, CreateJob)]
    assert "spec.tools.httpHosts has 'a.org'; the class allows none" in str(actions)


def test_the_engine_is_that_of_the_chosen_toolchain():
    boxes = {"dockerHost": "tcp://engine.build:2375", "dockerImages": ["docker.io/library/*"]}
    class_ = {"toolchains": [{"name": "plain"}, {"name": "boxes", **boxes}]}
    plain, chosen = document_of(build(class_)), document_of(build(class_, toolchain="boxes"))
    assert (plain.docker_host, plain.docker_images) == ("", ())
    assert chosen.docker_host == boxes["dockerHost"]
    assert chosen.docker_images == ("docker.io/library/*",)


def test_what_the_operator_calls_an_engine_is_one_for_the_agent():
    for host in ("engine.build.svc:2375", "10.1.2.3:2375", "[fd00::1]:2375"):
        Toolchain(name="x", docker_host=f"tcp://{host}")
        assert REMOTE_ADDRESS.fullmatch(f"tcp://{host}")
    for bad in ("ssh://root@host", "unix:///run/docker.sock", "tcp://u:p@h:1", "tcp://h"):
        with pytest.raises(ValidationError):
            Toolchain(name="x", docker_host=bad)
