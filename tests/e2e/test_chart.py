"""A release's whole life, by the real helm: installed, upgraded, rolled back, uninstalled.

There is no earlier release than this one, so the chart is upgraded from itself under an older
version, with other settings.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chart.queries import unanswered
from tests.e2e.tasks import Home, condition, eventually, jobs, pods, status, task, until

from agenttask_testbed import chart, images
from agenttask_testbed.chart import SYSTEM, Helm
from agenttask_testbed.commands import CommandFailed, Kubectl
from agenttask_testbed.demo import REHEARSAL_MODEL, WHERE

SLOW = "Take your time and add the greeting to utils.py."
CLASS = "trial"
CRDS = ("crd/agenttasks.agenttask.dev", "crd/agentclasses.agenttask.dev")


@pytest.fixture
def alone(testbed: Kubectl) -> Iterator[None]:
    """Nobody but this test's operator: two must not serve one namespace."""
    operator = ("-n", SYSTEM, "deploy/agenttask-operator")
    testbed("scale", "--replicas=0", *operator)
    testbed("-n", SYSTEM, "wait", "pod", "-l", "app.kubernetes.io/name=agenttask-operator",
            "--for=delete", "--timeout=60s")  # fmt: skip
    yield
    testbed("scale", "--replicas=2", *operator)
    testbed("-n", SYSTEM, "rollout", "status", operator[2], "--timeout=90s")


@pytest.fixture
def helm(home: Home, alone: None) -> Iterator[Helm]:
    """Helm, for a release in the task's own namespace."""
    yield Helm(home.kubectl, home.namespace)
    classes = (CLASS, "trial-agenttask-test")
    home.kubectl("delete", "agentclass", *classes, "--ignore-not-found")
    release = "app.kubernetes.io/instance=trial"
    home.kubectl("delete", "clusterrole,clusterrolebinding,priorityclass", "-l", release)
    policies = "validatingadmissionpolicy,validatingadmissionpolicybinding"
    home.kubectl("delete", policies, "-l", release)


def values(home: Home, enforced: str = "Unknown", **operator: Any) -> dict[str, Any]:
    """Return a trial's values, for this namespace alone."""
    return {
        "namespaces": [home.namespace],
        "model": {"url": f"http://model.{WHERE}.svc:8000", "name": REHEARSAL_MODEL},
        "defaultClass": {"name": CLASS, "isDefault": False, "spec": {"flushSeconds": 10}},
        "nats": {"bundled": {"enabled": True, "image": images.NATS.tag}},
        "operator": operator,
        "networkPolicy": {"enforced": enforced},
    }


def begin(home: Home, name: str) -> None:
    """Start a slow task and wait until its agent works."""
    home.apply(task(name, SLOW, className=CLASS))
    until(home, name, phase="Running", reason="Running")


def enforced(home: Home) -> str:
    """Return what the class says of its egress."""
    told = home.kubectl.get("agentclass", CLASS).get("status", {}).get("conditions", [])
    return next((c["status"] for c in told if c["type"] == "EgressEnforced"), "")


def uid(home: Home) -> str:
    return str(home.kubectl.get("agentclass", CLASS)["metadata"]["uid"])


def metrics(home: Home) -> str:
    """Return the leader's metrics, read through the API server."""
    at = f"/api/v1/namespaces/{home.namespace}/pods"
    operators = home.get("pods", "-l", "app.kubernetes.io/name=agenttask-operator")["items"]
    paths = (f"{at}/{pod['metadata']['name']}:8080/proxy/metrics" for pod in operators)
    texts = [home.kubectl("get", "--raw", path) for path in paths]
    return next(text for text in texts if "\nagenttask_leader 1.0" in text)


def test_rendered_file_is_what_the_api_server_takes(testbed: Kubectl) -> None:
    apply = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    said = testbed(*apply, stdin=chart.install_yaml())
    assert len(said.splitlines()) >= 20


def test_release_is_installed_upgraded_rolled_back_and_uninstalled_around_running_tasks(
    home: Home, helm: Helm, tmp_path: Path
) -> None:
    """Half a minute for each of the four is helm's and the rollouts' own."""
    old = chart.package("0.0.1", tmp_path)
    adopt = ("--take-ownership", "--force-conflicts", "--wait", "--timeout=2m")
    # This cluster enforces nothing, so `helm test` has to find that out.
    helm.apply("trial", values(home, enforced="True"), *adopt, chart=old)
    first = uid(home)
    eventually(lambda: enforced(home) == "True", 30, "the class to say what was declared")
    with pytest.raises(CommandFailed):
        helm("test", "trial", "--timeout=3m")
    assert "egress-is-enforced" in home.run("logs", "trial-agenttask-test")
    begin(home, "upgraded")

    helm.apply("trial", values(home, logLevel="DEBUG"), "--wait", "--timeout=2m")
    assert "agenttask-0.1.0" in helm("list")
    assert uid(home) == first, "the default class was replaced"
    said = until(home, "upgraded", phase="Succeeded")
    assert condition(said, "EventsPublished")["status"] == "True"
    assert (len(jobs(home, "upgraded")), len(pods(home, "upgraded"))) == (1, 1)
    wall = home.get("networkpolicy", "agenttask-trial")
    assert wall["metadata"]["ownerReferences"][0]["uid"] == first
    selected = wall["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= pods(home, "upgraded")[0]["metadata"]["labels"].items()
    assert "the task ran without a model" in helm("test", "trial", "--logs", "--timeout=3m")

    begin(home, "rolled-back")
    assert unanswered(metrics(home)) == []
    helm("rollback", "trial", "1", "--wait", "--timeout=2m")
    assert uid(home) == first
    until(home, "rolled-back", phase="Succeeded")
    assert (len(jobs(home, "rolled-back")), len(pods(home, "rolled-back"))) == (1, 1)

    begin(home, "left-alone")
    helm("uninstall", "trial", "--wait", "--timeout=1m")
    home.kubectl("get", *CRDS)
    assert uid(home) == first
    assert status(home, "upgraded")["phase"] == "Succeeded"
    assert not home.get("deployments")["items"]
    eventually(lambda: jobs(home, "left-alone")[0]["status"].get("succeeded"), 60, "its Job's end")
    found = home.get("agenttasks")["items"]
    assert len(found) == 3
    assert not [t for t in found if t["metadata"].get("finalizers")]
    home.run("delete", "agenttasks", "--all", "--wait", "--timeout=30s")
    eventually(lambda: not home.get("jobs")["items"], 60, "the Jobs to go with their tasks")
