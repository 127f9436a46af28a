"""Who may do what: asked of the real API server, as the people and accounts concerned."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.tasks import Home

from agenttask_testbed.chart import SYSTEM
from agenttask_testbed.commands import CommandFailed, Kubectl

GOLDEN = Path(__file__).parent / "rights"
ANNA, BERT = "anna", "bert"
"""Both may create tasks; only Anna may read what is named here, and use the class."""
CLASS = "standard"


def role(name: str, group: str, resource: str, verb: str, *names: str) -> list[dict[str, Any]]:
    """Return a Role for some objects, bound to Anna."""
    rule = {"apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": [verb]}
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": [rule],
        },
        binding(name, "Role", name, ANNA),
    ]


def binding(name: str, kind: str, role_name: str, *users: str) -> dict[str, Any]:
    """Return a RoleBinding."""
    api = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": kind, "name": role_name},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user} for user in users],
    }


@pytest.fixture(scope="module")
def team(testbed: Kubectl) -> Iterator[Home]:
    """A namespace of Anna's and Bert's."""
    name = "team"
    testbed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    testbed.apply(
        binding("edit", "ClusterRole", "agenttask-edit", ANNA, BERT),
        binding("view", "ClusterRole", "agenttask-view", ANNA, BERT),
        *role("secrets", "", "secrets", "get", "mine"),
        *role("config-maps", "", "configmaps", "get", "mine"),
        *role("classes", "agenttask.dev", "agentclasses", "use", CLASS),
        namespace=name,
    )
    yield Home(testbed, name)
    testbed("delete", "namespace", name, "--wait=false")


def task(name: str = "asked", **spec: Any) -> str:
    given = {"prompt": "Fix it", "repo": {"url": "https://git.example/x.git"}, "suspend": True}
    head = {"apiVersion": "agenttask.dev/v1alpha1", "kind": "AgentTask"}
    return json.dumps({**head, "metadata": {"name": name}, "spec": {**given, **spec}})


def repo(**more: Any) -> dict[str, Any]:
    return {"url": "https://git.example/x.git", **more}


def connections(count: int) -> dict[str, Any]:
    kind = {"kind": "redis", "secretRef": {"name": "mine"}}
    return {"connections": [{"name": f"c{number}", **kind} for number in range(count)]}


KEY = {"name": "mine", "key": "text"}
CONTEXT = {"configMapKeyRef": KEY}
NAMED: dict[str, tuple[dict[str, Any], str]] = {
    "class": ({"className": CLASS}, "the AgentClass that spec.className names"),
    "git credentials": (
        {"repo": repo(credentialsRef={"name": "mine"})},
        "the Secret that spec.repo.credentialsRef names",
    ),
    "git authority": (
        {"repo": repo(caRef={"name": "mine"})},
        "the ConfigMap that spec.repo.caRef names",
    ),
    "prompt": (
        {"prompt": None, "promptFrom": {"configMapKeyRef": KEY}},
        "the ConfigMap that spec.promptFrom names",
    ),
    "context": ({"contextFrom": [CONTEXT]}, "that spec.contextFrom[0] names"),
    "last context": (
        {"contextFrom": [{"taskRef": {"name": "x"}}] * 7 + [CONTEXT]},
        "that spec.contextFrom[7] names",
    ),
    "database": (
        {"tools": connections(1)},
        "the Secret that spec.tools.connections[0].secretRef names",
    ),
}


def create(team: Home, user: str, text: str, *options: str) -> str:
    """Create a task as somebody; returns what the API server says, also when it refuses."""
    try:
        return team.run("--as", user, "create", *options, "-f", "-", stdin=text)
    except CommandFailed as error:
        return error.stderr


@pytest.mark.parametrize("case", NAMED)
def test_nobody_has_a_task_use_what_he_may_not_use_himself(team: Home, case: str) -> None:
    spec, words = NAMED[case]

    said = create(team, BERT, task(**spec), "--dry-run=server")

    assert "Forbidden" in said
    assert f"{words}: ask for" in said
    assert "created" in create(team, ANNA, task(**spec), "--dry-run=server")


def test_a_namesake_may_be_used_neither(team: Home) -> None:
    theirs: dict[str, Any] = {"repo": repo(credentialsRef={"name": "theirs"})}
    assert "may not read the Secret" in create(team, ANNA, task(**theirs), "--dry-run=server")
    assert "may not use the AgentClass" in create(
        team, ANNA, task(className="large"), "--dry-run=server"
    )


def test_everything_a_task_can_name_fits_the_api_servers_budget(team: Home) -> None:
    spec: dict[str, Any] = {
        "className": CLASS,
        "repo": repo(credentialsRef={"name": "mine"}, caRef={"name": "mine"}),
        "prompt": None,
        "promptFrom": {"configMapKeyRef": KEY},
        "contextFrom": [CONTEXT] * 8,
        "tools": connections(16),
    }
    assert "created" in create(team, ANNA, task(**spec), "--dry-run=server")


def test_colleague_can_label_suspend_and_cancel_but_not_run_again(team: Home) -> None:
    assert "created" in create(team, ANNA, task("shared", **NAMED["git credentials"][0]))
    as_bert = ("--as", BERT)

    team.run(*as_bert, "label", "agenttask", "shared", "seen=yes")
    patch = ("patch", "agenttask", "shared", "--type=merge", "-p")
    with pytest.raises(CommandFailed) as refused:
        team.run(*as_bert, *patch, json.dumps({"spec": {"runID": "2"}}))
    assert "may not read the Secret" in refused.value.stderr
    team.run(*as_bert, *patch, json.dumps({"spec": {"cancel": True}}))

    assert team.get("agenttask", "shared")["spec"]["cancel"] is True


@pytest.mark.parametrize(
    "field", ["image", "serviceAccountName", "securityContext", "hostNetwork", "volumes", "pod"]
)
def test_task_cannot_say_how_its_pod_is(team: Home, field: str) -> None:
    said = create(team, ANNA, task(**{field: "x"}), "--dry-run=server")
    assert f'unknown field "spec.{field}"' in said
    loose = create(
        team, ANNA, task(**{field: "x"}), "--dry-run=server", "--validate=false", "-ojson"
    )
    assert field not in json.loads(loose)["spec"]


def test_cluster_roles_know_tasks(team: Home) -> None:
    team.apply(binding("editor", "ClusterRole", "edit", "emma"))
    team.apply(binding("viewer", "ClusterRole", "view", "vera"))

    def may(user: str, verb: str) -> bool:
        asked = ("--as", user, "auth", "can-i", verb, "agenttasks.agenttask.dev")
        try:
            return team.run(*asked).strip() == "yes"
        except CommandFailed:
            return False

    assert may("emma", "create")
    assert may("vera", "get")
    assert not may("vera", "create")
    assert not may("bystander", "get")


def rights(kubectl: Kubectl, account: str, namespace: str) -> str:
    """Return what the API server says that an account may do in a namespace, sorted."""
    said = kubectl("-n", namespace, "--as", f"system:serviceaccount:{account}",
                   "--as-group=system:serviceaccounts", "--as-group=system:authenticated",
                   "auth", "can-i", "--list", "--no-headers")  # fmt: skip
    return "\n".join(sorted(" ".join(line.split()) for line in said.splitlines())) + "\n"


@pytest.mark.parametrize(
    ("file", "account", "namespace"),
    [
        ("operator.txt", f"{SYSTEM}:agenttask-operator", "team"),
        ("operator-at-home.txt", f"{SYSTEM}:agenttask-operator", SYSTEM),
        ("agent.txt", "team:default", "team"),
    ],
)
def test_an_account_may_do_this_and_nothing_else(
    team: Home, file: str, account: str, namespace: str
) -> None:
    found = rights(team.kubectl, account, namespace)
    assert found == (GOLDEN / file).read_text("utf-8")
    assert "secrets" not in found
