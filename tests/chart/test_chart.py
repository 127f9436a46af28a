"""What the chart renders, by the real helm and without a cluster."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.queries import alerts, panels, unanswered

from agenttask_api.tracing import ENV_ENDPOINT
from agenttask_operator.settings import read_settings
from agenttask_testbed import chart, images
from agenttask_testbed.commands import ROOT, CommandFailed, run

CLASS = {"model": {"url": "http://vllm.models.svc:8000"}}


def parsed(text: str) -> list[dict[str, Any]]:
    """Read by the C library: the resource definitions are long."""
    return [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found]


def objects(values: dict[str, Any], *options: str) -> list[dict[str, Any]]:
    """Return what is rendered, without the resource definitions unless they are asked for."""
    given = json.dumps({"crds": {"enabled": False}, **values})
    return _objects(given, options)


@cache
def _objects(values: str, options: tuple[str, ...]) -> list[dict[str, Any]]:
    return parsed(chart.render(json.loads(values), *options))


def of_kind(kind: str, values: dict[str, Any], *options: str) -> list[dict[str, Any]]:
    return [found for found in objects(values, *options) if found["kind"] == kind]


def rules(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for role in found for rule in role.get("rules", [])]


@pytest.mark.parametrize("name", ["agenttask", "agentclass"])
def test_resource_definitions_are_those_of_the_api(name: str) -> None:
    source = yaml.safe_load((ROOT / "crds" / f"{name}.yaml").read_text("utf-8"))

    found = {d["metadata"]["name"]: d for d in of_kind("CustomResourceDefinition", {"crds": {}})}

    brought = found[source["metadata"]["name"]]
    assert brought["spec"] == source["spec"]
    assert brought["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_resource_definitions_can_be_left_out_or_let_go() -> None:
    assert not of_kind("CustomResourceDefinition", {"crds": {"enabled": False}})
    for found in of_kind("CustomResourceDefinition", {"crds": {"keep": False}}):
        assert "helm.sh/resource-policy" not in found["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicas": 3}, "additional properties 'replicas' not allowed"),
        ({"operator": {"replica": 3}}, "at '/operator': additional properties 'replica'"),
        ({"operator": {"logLevel": "LOUD"}}, "at '/operator/logLevel': value must be one of"),
        ({"model": {"url": "vllm:8000"}}, "at '/model/url'"),
        ({"operator": {"env": {"PATH": "x"}}}, "PATH"),
        ({"namespaces": "team-a"}, "at '/namespaces': got string, want array"),
    ],
)
def test_bad_value_is_refused_by_its_name(values: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        chart.render(values)
    assert words in refused.value.stderr


def test_schema_knows_exactly_the_values_there_are() -> None:
    schema = json.loads((chart.CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text("utf-8"))
    assert _paths(values, schema) == []
    assert set(schema["properties"]) == {*values, "global"}


def _paths(values: dict[str, Any], schema: dict[str, Any], at: str = "") -> list[str]:
    """Return where one of the two has a key that the other lacks."""
    known = schema.get("properties")
    if known is None or schema.get("additionalProperties") is not False or not values:
        return []
    optional = {"global", "claims", "nodeAffinity", "podAffinity", "podAntiAffinity"}
    wrong = [f"{at}.{key}" for key in set(known) ^ set(values) if key not in optional]
    for key, value in values.items():
        if isinstance(value, dict) and key in known:
            wrong += _paths(value, known[key], f"{at}.{key}")
    return wrong


def test_every_variable_that_is_taken_is_spoken_of_and_reaches_the_operator() -> None:
    schema = json.loads((chart.CHART / "values.schema.json").read_text("utf-8"))
    taken = schema["properties"]["operator"]["properties"]["env"]["propertyNames"]["enum"]
    text = (chart.CHART / "values.yaml").read_text("utf-8")
    assert [name for name in taken if name not in text] == []
    collector = "http://otel.monitoring.svc:4318"
    env = {"WORKERS": 8, "RESYNC_SECONDS": 60, ENV_ENDPOINT: collector}
    assert set(env) == set(taken)

    (found,) = of_kind("ConfigMap", {"operator": {"env": env}})

    settings = read_settings(found["data"])
    read = (settings.workers, settings.resync_seconds, settings.otlp_endpoint)
    assert read == (8, 60, collector)


def test_no_role_of_the_operator_has_a_word_on_secrets() -> None:
    for values in (chart.SMALL, chart.LARGE):
        found = rules(of_kind("ClusterRole", values) + of_kind("Role", values))
        assert found
        assert not [r for r in found if {"secrets", "*"} & {*r["resources"], *r["verbs"]}]


def test_named_namespaces_bind_the_rights_on_tasks_to_them_alone() -> None:
    everywhere = [b["roleRef"]["name"] for b in of_kind("ClusterRoleBinding", {})]
    assert everywhere == ["agenttask-operator", "agenttask-operator-tasks"]

    values = {"namespaces": ["team-a", "team-b"]}
    cluster = [b["roleRef"]["name"] for b in of_kind("ClusterRoleBinding", values)]
    bound = {
        b["metadata"]["namespace"]: b["roleRef"]["name"] for b in of_kind("RoleBinding", values)
    }

    assert cluster == ["agenttask-operator"]
    assert bound["team-a"] == bound["team-b"] == "agenttask-operator-tasks"
    settings = of_kind("ConfigMap", values)[0]["data"]
    assert settings["NAMESPACES"] == "team-a,team-b"
    policy = of_kind("ValidatingAdmissionPolicyBinding", values)[0]["spec"]["matchResources"]
    assert policy["namespaceSelector"]["matchExpressions"][0]["values"] == ["team-a", "team-b"]


def test_default_class_comes_when_there_is_a_model() -> None:
    assert not of_kind("AgentClass", {})
    first = of_kind("AgentClass", CLASS)[0]
    assert first["metadata"]["annotations"]["helm.sh/hook"] == "post-install"
    later = of_kind("AgentClass", CLASS, *chart.WITH_CLASS)[0]
    assert later["metadata"]["annotations"] == {
        "agenttask.dev/is-default-class": "true",
        "helm.sh/resource-policy": "keep",
    }
    assert later["spec"] == {"model": {"endpoint": "http://vllm.models.svc:8000"}}


def test_monitoring_needs_to_be_asked_for() -> None:
    assert not [o for o in objects({}) if o["apiVersion"].startswith("monitoring.")]
    kinds = {o["kind"] for o in objects(chart.LARGE) if o["apiVersion"].startswith("monitoring.")}
    assert kinds == {"PodMonitor", "ServiceMonitor", "PrometheusRule"}
    boards = [c for c in of_kind("ConfigMap", chart.LARGE) if "agenttask.json" in c.get("data", {})]
    assert json.loads(boards[0]["data"]["agenttask.json"])["title"] == "AgentTask"


def test_queries_are_understood_well_enough_to_be_held_against_metrics() -> None:
    """tests/e2e/test_chart.py holds them against a running operator's."""
    assert len(alerts()) >= 5
    assert len(panels()) >= 10
    found = unanswered('agenttask_leader 1\nagenttask_tasks{phase="Running"} 1\n')
    assert "agenttask_outbox_lag_seconds" in found
    assert "agenttask_leader" not in found
    assert "by (class) of sum by (class, phase) (agenttask_tasks)" in found


def test_extra_objects_are_templates() -> None:
    found = [c for c in of_kind("ConfigMap", chart.LARGE) if c["metadata"]["name"] == "extra"]
    assert found[0]["metadata"]["namespace"] == chart.SYSTEM


def test_install_yaml_is_the_chart_and_its_namespace(tmp_path: Path) -> None:
    text = chart.install_yaml()
    found = parsed(text)
    assert (found[0]["kind"], found[0]["metadata"]["name"]) == ("Namespace", chart.SYSTEM)
    assert found[1:] == objects({"crds": {}})
    (tmp_path / "install.yaml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "install" / "kustomization.yaml", tmp_path)
    built = parsed(run(images.binary("kubectl"), "kustomize", str(tmp_path)))
    assert {name_of(o) for o in built} == {name_of(o) for o in found}


def name_of(found: dict[str, Any]) -> tuple[str, str]:
    return found["kind"], found["metadata"]["name"]
