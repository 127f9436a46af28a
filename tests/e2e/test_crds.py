"""The API server keeps the API's promises: defaults, updates, columns, selectors."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.apiobjects import Kubectl, refusal, task

from agenttask_testbed import product
from agenttask_testbed.commands import Kubectl as Client

pytestmark = pytest.mark.e2e

EXAMPLE_CLASS = Path(__file__).parents[2] / "examples" / "agentclass.yaml"
STEP = {"name": "unit", "run": ["make", "test"]}


@pytest.fixture(scope="module", autouse=True)
def no_operator(crds: Client) -> Iterator[None]:
    """Another test may have started the operator, which would correct a status made up here."""
    found = crds.get("-n", product.SYSTEM, "deploy")["items"]
    replicas = {f"deploy/{d['metadata']['name']}": d["spec"]["replicas"] for d in found}
    for deployment in replicas:
        crds("scale", "-n", product.SYSTEM, deployment, "--replicas=0")
    if replicas:
        crds("wait", "-n", product.SYSTEM, "--for=delete", "pod", "--all", "--timeout=120s")
    yield
    for deployment, count in replicas.items():
        crds("scale", "-n", product.SYSTEM, deployment, f"--replicas={count}")
        crds("rollout", "status", "-n", product.SYSTEM, deployment, "--timeout=120s")


@pytest.fixture
def stored(kubectl: Kubectl, namespace: str) -> Callable[..., dict[str, Any]]:
    """Create a task, and return it as the API server stored it."""

    def store(name: str = "fix-12", **spec: Any) -> dict[str, Any]:
        args = ("create", "-n", namespace, "-o", "json", "-f", "-")
        found: dict[str, Any] = json.loads(kubectl(*args, input=task(name, **spec)))
        return found

    return store


def test_stored_task_shows_its_defaults(stored: Callable[..., dict[str, Any]]) -> None:
    spec = stored()["spec"]
    shown = {
        "runID": spec["runID"],
        "role": spec["role"],
        "revision": spec["repo"]["revision"],
        "maxModelTokens": spec["constraints"]["maxModelTokens"],
        "deadline": spec["limits"]["activeDeadlineSeconds"],
        "size": spec["limits"]["workspaceSize"],
        "mode": spec["output"]["mode"],
        "ttl": spec["ttlSecondsAfterFinished"],
    }
    assert list(shown.values()) == ["1", "DEV", "main", 200000, 3600, "10Gi", "Branch", 86400]
    assert "tests/**" in spec["protect"]


def test_new_task_is_not_taken_for_a_finished_one(stored: Callable[..., dict[str, Any]]) -> None:
    assert stored()["status"] == {"observedGeneration": -1, "phase": "Pending"}


def test_status_is_not_for_whoever_may_only_write_tasks(
    kubectl: Kubectl, namespace: str, stored: Callable[..., dict[str, Any]]
) -> None:
    stored()
    change = '{"status": {"phase": "Succeeded"}}'
    kubectl("patch", "agt", "fix-12", "-n", namespace, "--type=merge", "-p", change)
    phase = kubectl("get", "agt", "fix-12", "-n", namespace, "-o", "jsonpath={.status.phase}")
    assert phase == "Pending", "only the status subresource writes the status"


@pytest.fixture
def patch(
    kubectl: Kubectl, namespace: str, stored: Callable[..., dict[str, Any]]
) -> Callable[..., tuple[str, ...]]:
    """Return kubectl's arguments for a change of a stored task's spec."""
    stored(setup=[STEP, {"name": "lint", "run": ["make"]}], cancel=False)

    def arguments(**spec: Any) -> tuple[str, ...]:
        change = json.dumps({"spec": spec})
        return ("patch", "agt", "fix-12", "-n", namespace, "--type=merge", "-p", change)

    return arguments


WORK_CHANGES: dict[str, dict[str, Any]] = {
    "changed": {"prompt": "Fix issue 13"},
    "changed below": {"repo": {"revision": "dev"}},
    "added": {"repo": {"credentialsRef": {"name": "git"}}},
    "added to a list": {"env": [{"name": "A", "value": "b"}]},
    "removed": {"setup": []},
    "removed and replaced": {
        "prompt": None,
        "promptFrom": {"configMapKeyRef": {"name": "p", "key": "k"}},
    },
    "reordered": {"setup": [{"name": "lint", "run": ["make"]}, STEP]},
}


@pytest.mark.parametrize("change", WORK_CHANGES.values(), ids=WORK_CHANGES.keys())
def test_work_may_change_only_with_run_id(
    kubectl: Kubectl, patch: Callable[..., tuple[str, ...]], change: dict[str, Any]
) -> None:
    said = refusal(kubectl, *patch(**change))
    assert "change spec.runID in the same update" in said
    assert "patched" in kubectl(*patch(runID="2", **change))


@pytest.mark.parametrize(
    "change", [{"suspend": True}, {"cancel": True}, {"ttlSecondsAfterFinished": 5}, {"runID": "2"}]
)
def test_control_field_may_change_alone(
    kubectl: Kubectl, patch: Callable[..., tuple[str, ...]], change: dict[str, Any]
) -> None:
    assert "patched" in kubectl(*patch(**change))


def test_cancel_is_one_way_until_the_next_run(
    kubectl: Kubectl, patch: Callable[..., tuple[str, ...]]
) -> None:
    kubectl(*patch(cancel=True))
    assert "cancel cannot be taken back" in refusal(kubectl, *patch(cancel=False))
    assert "cancel cannot be taken back" in refusal(kubectl, *patch(cancel=None))
    assert "patched" in kubectl(*patch(cancel=False, runID="2"))


@pytest.fixture
def two_tasks(
    kubectl: Kubectl, namespace: str, stored: Callable[..., dict[str, Any]]
) -> tuple[str, ...]:
    """A running QA task and an unseen one of another class."""
    stored("one", role="QA")
    stored("two", className="fast")
    status = {
        "phase": "Running",
        "verdict": "",
        "reason": "Running",
        "artifacts": {"branch": "agenttask/one", "commitSHA": "c0ffee"},
        "usage": {"totalTokens": 1234},
        "run": {"id": "1", "key": "1-a", "jobName": "one-job"},
        "duration": "4m12s",
    }
    change = json.dumps({"status": status})
    kubectl(
        "patch", "agt", "one", "-n", namespace, "--subresource=status", "--type=merge", "-p", change
    )
    return ("one", "two")


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("status.phase=Running", ["one"]),
        ("status.phase=Pending", ["two"]),
        ("status.phase!=Running", ["two"]),
        ("spec.role=QA", ["one"]),
        ("spec.className=fast", ["two"]),
    ],
)
def test_field_selector_finds(
    kubectl: Kubectl, namespace: str, two_tasks: tuple[str, ...], selector: str, found: list[str]
) -> None:
    names = kubectl("get", "agt", "-n", namespace, "--field-selector", selector, "-o", "name")
    assert [line.partition("/")[2] for line in names.split()] == found


def test_columns_tell_the_story(
    kubectl: Kubectl, namespace: str, two_tasks: tuple[str, ...]
) -> None:
    header, one, _ = kubectl("get", "agenttasks", "-n", namespace).splitlines()
    assert header.split() == ["NAME", "PHASE", "VERDICT", "REASON", "BRANCH", "TOKENS", "AGE"]
    assert one.split()[:-1] == ["one", "Running", "Running", "agenttask/one", "1234"]


def test_wide_columns_add_the_details(
    kubectl: Kubectl, namespace: str, two_tasks: tuple[str, ...]
) -> None:
    header, one, _ = kubectl("get", "agt", "-n", namespace, "-o", "wide").splitlines()
    details = ["ROLE", "CLASS", "AGENTS", "JOB", "COMMIT", "DURATION"]
    assert header.split()[-9:] == [*details, "OBSERVED", "PUBLISHED", "UNSENT"]
    assert {"QA", "one-job", "c0ffee", "4m12s"} <= set(one.split())


def test_category_lists_tasks(kubectl: Kubectl, namespace: str, two_tasks: tuple[str, ...]) -> None:
    assert "agenttask.agenttask.dev/one" in kubectl("get", "agents", "-n", namespace, "-o", "name")


def test_class_columns_and_status(kubectl: Kubectl) -> None:
    document = yaml.safe_load(EXAMPLE_CLASS.read_text(encoding="utf-8"))
    document["metadata"]["name"] = "columns"
    kubectl("apply", "-f", "-", input=json.dumps(document))
    try:
        header, row = kubectl("get", "agc", "columns").splitlines()
        unseen = kubectl("get", "agc", "columns", "-o", "jsonpath={.status.observedGeneration}")
    finally:
        kubectl("delete", "agc", "columns")
    assert header.split() == ["NAME", "MODEL", "ENDPOINT", "DEFAULT", "READY", "RUNNING", "AGE"]
    assert document["spec"]["model"]["endpoint"] in row
    assert "true" in row.split(), "the default class is shown as one"
    assert unseen == "-1", "the operator has not seen it"


def test_explain_tells_what_run_id_is_for(kubectl: Kubectl) -> None:
    assert "a new value asks" in " ".join(kubectl("explain", "agenttask.spec.runID").split())
