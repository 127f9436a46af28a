"""The YAML of the two CRDs and the Python models say the same, field by field."""

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from agenttask_api import status as status_module
from agenttask_api.agentclass import AgentClassSpec, AgentClassStatus
from agenttask_api.schema import GROUP, VERSION
from agenttask_api.spec import CONTROL_FIELDS, AgentTaskSpec, Limits, Resources, Role
from agenttask_api.status import AgentTaskStatus

CRDS = Path(__file__).parents[2] / "crds"
BOUNDS = (
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
)
QUANTITY_PATTERN = Limits.model_json_schema()["properties"]["workspaceSize"]["pattern"]
Node = dict[str, Any]
Facts = dict[str, dict[str, Any]]


def crd(name: str) -> Node:
    loaded: Node = yaml.safe_load((CRDS / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def part(name: str, key: str) -> Node:
    found: Node = crd(name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][key]
    return found


SPECS = [
    pytest.param(AgentTaskSpec, "agenttask", id="a task's spec"),
    pytest.param(AgentClassSpec, "agentclass", id="a class's spec"),
]
STATUSES = [
    pytest.param(AgentTaskStatus, "agenttask", id="a task's status"),
    pytest.param(AgentClassStatus, "agentclass", id="a class's status"),
]
EVERY_PART = [("agenttask", "spec"), ("agenttask", "status")] + [
    ("agentclass", "spec"),
    ("agentclass", "status"),
]


def yaml_facts(node: Node, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    quantity = node.get("x-kubernetes-int-or-string", False)
    fact = {key: node[key] for key in (*BOUNDS, "enum") if key in node}
    fact |= {"type": "string" if quantity else node["type"], "quantity": quantity}
    if quantity:
        assert fact.pop("minimum") == 0, f"{path}: the pattern bounds only the written form"
    fact["required"] = sorted(node.get("required", []))
    if "default" in node:
        fact["default"] = with_defaults(node, node["default"])
    yield path, fact
    for name, child in children(node):
        yield from yaml_facts(child, path + name)


def children(node: Node) -> Iterator[tuple[str, Node]]:
    for name, child in node.get("properties", {}).items():
        yield f".{name}", child
    if "items" in node:
        yield "[]", node["items"]
    if isinstance(node.get("additionalProperties"), dict):
        yield "{}", node["additionalProperties"]


def with_defaults(node: Node, value: Any) -> Any:
    """Return a value as the API server stores it."""
    if not isinstance(value, dict):
        return value
    missing = {
        name: with_defaults(child, child["default"])
        for name, child in node.get("properties", {}).items()
        if name not in value and "default" in child
    }
    return {**value, **missing}


def python_facts(node: Node, defs: Node, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    default = without_nulls(node.get("default"))
    if "anyOf" in node:
        node = next(s for s in node["anyOf"] if s.get("type") != "null")
    if "$ref" in node:
        node = defs[node["$ref"].rpartition("/")[2]]
    fact = {key: node[key] for key in (*BOUNDS, "enum") if key in node}
    fact |= {"type": node["type"], "quantity": node.get("pattern") == QUANTITY_PATTERN}
    fact["required"] = sorted(node.get("required", []))
    if default is not None:
        fact["default"] = default
    yield path, fact
    for name, child in children(node):
        yield from python_facts(child, defs, path + name)


def without_nulls(value: Any) -> Any:
    """An absent optional is null in Python and nothing at all in Kubernetes."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


def model_facts(model: type[BaseModel]) -> Facts:
    schema = model.model_json_schema(by_alias=True)
    return dict(python_facts(schema, schema.get("$defs", {})))


def differences(python: Facts, written: Facts) -> list[str]:
    """Name every difference with its path, one a line."""
    found = []
    for path in sorted(python.keys() | written.keys()):
        ours, theirs = python.get(path), written.get(path)
        if ours is None or theirs is None:
            found.append(f"{path}: only in {'the YAML' if ours is None else 'Python'}")
            continue
        found += [
            f"{path}: {key}: Python {ours.get(key)!r}, YAML {theirs.get(key)!r}"
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key) != theirs.get(key)
        ]
    return found


def nodes(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in children(node):
        yield from nodes(child, path + name)


@pytest.mark.parametrize(("model", "name"), SPECS)
def test_spec_is_the_same_in_python_and_yaml(model: type[BaseModel], name: str) -> None:
    found = differences(model_facts(model), dict(yaml_facts(part(name, "spec"))))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("model", "name"), STATUSES)
def test_status_is_the_same_in_python_and_yaml_but_for_bounds(
    model: type[BaseModel], name: str
) -> None:
    """Bounds of a status are the API server's last guard, defaults the reader's affair."""
    python, written = model_facts(model), dict(yaml_facts(part(name, "status")))
    for path, fact in (*python.items(), *written.items()):
        for key in (*BOUNDS, "default"):
            fact.pop(key, None)
        if path == ".conditions[].status":
            fact.pop("enum", None)
    found = differences(python, written)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        pytest.param(("properties", "runID"), None, None, id="a missing field"),
        pytest.param(("properties", "surplus"), "type", "string", id="a surplus field"),
        pytest.param(("properties", "contextTokens"), "default", 4001, id="another default"),
        pytest.param(("properties", "prompt"), "maxLength", 1, id="another bound"),
        pytest.param(("properties", "role"), "enum", ["DEV"], id="another enum"),
        pytest.param(
            ("properties", "limits", "properties", "workspaceSize"), "pattern", "x", id="nested"
        ),
        pytest.param(("properties", "setup", "items"), "required", ["name"], id="in a list"),
    ],
)
def test_comparison_notices(path: tuple[str, ...], key: str | None, value: Any) -> None:
    spec = copy.deepcopy(part("agenttask", "spec"))
    holder = spec
    for step in path[:-1]:
        holder = holder[step]
    if key is None:
        del holder[path[-1]]
    else:
        holder.setdefault(path[-1], {})[key] = value
    found = differences(model_facts(AgentTaskSpec), dict(yaml_facts(spec)))
    assert any(path[-1].removesuffix("items") in line for line in found), found


@pytest.mark.parametrize(("name", "key"), EVERY_PART)
def test_every_node_is_described_and_bounded(name: str, key: str) -> None:
    for path, node in nodes(part(name, key)):
        assert node.get("description"), f"{key}{path} has no description for kubectl explain"
        kind = node.get("type", "quantity")
        if kind in {"string", "quantity"}:
            assert "enum" in node or "maxLength" in node, f"{key}{path} has no maxLength"
        if kind == "array":
            assert "maxItems" in node, f"{key}{path} has no maxItems"
            assert "x-kubernetes-list-type" in node, f"{key}{path} has no list type"
        if "additionalProperties" in node:
            assert "maxProperties" in node, f"{key}{path} has no maxProperties"


def test_status_defaults_keep_clients_from_taking_an_unseen_object_for_done() -> None:
    given = part("agenttask", "status")["default"]
    assert given == {"observedGeneration": -1, "phase": "Pending"}
    defaulted = {p for p, f in yaml_facts(part("agenttask", "status")) if p and "default" in f}
    assert defaulted == {".observedGeneration", ".phase"}, "the operator states everything else"
    assert part("agentclass", "status")["default"] == {"observedGeneration": -1}


def test_status_bounds_are_those_the_operator_cuts_to() -> None:
    properties = part("agenttask", "status")["properties"]
    bounds = {
        "MAX_ATTEMPTS": properties["attempts"]["maxItems"],
        "MAX_RUNS": properties["runs"]["maxItems"],
        "MAX_FILES_CHANGED": properties["artifacts"]["properties"]["filesChanged"]["maxItems"],
        "MAX_MESSAGE_CHARACTERS": properties["message"]["maxLength"],
    }
    assert bounds == {name: getattr(status_module, name) for name in bounds}


def immutability_rule() -> str:
    rules = part("agenttask", "spec")["x-kubernetes-validations"]
    return next(str(r["rule"]) for r in rules if "self.repo ==" in r["rule"])


def test_immutability_names_every_work_field_and_no_control_field() -> None:
    controls = {str(AgentTaskSpec.model_fields[f].alias) for f in CONTROL_FIELDS}
    work = part("agenttask", "spec")["properties"].keys() - controls
    named = set(re.findall(r"\bself\.(\w+) == oldSelf", immutability_rule()))
    assert named == work, "the rule must compare the whole work, and nothing but the work"


def test_immutability_compares_the_order_of_keyed_lists() -> None:
    """The API server takes two keyed lists for equal whatever their order; the hash does not."""
    keyed = [
        path
        for path, node in nodes(part("agenttask", "spec"))
        if node.get("x-kubernetes-list-type") == "map"
    ]
    assert keyed, "the schema has keyed lists"
    for path in keyed:
        wanted = f"self{path}.map(x, x.name) == oldSelf{path}.map(x, x.name)"
        assert wanted in immutability_rule(), f"reordering spec{path} must be refused"


def test_role_keys_of_a_class_are_the_roles() -> None:
    [rule] = part("agentclass", "spec")["properties"]["model"]["properties"]["roles"][
        "x-kubernetes-validations"
    ]
    assert re.findall(r"'(\w+)'", rule["rule"]) == [role.value for role in Role]


@pytest.mark.parametrize("name", ["agenttask", "agentclass"])
def test_names_equal_python(name: str) -> None:
    spec = crd(name)["spec"]
    assert (spec["group"], spec["versions"][0]["name"]) == (GROUP, VERSION)
    assert crd(name)["metadata"]["name"] == f"{spec['names']['plural']}.{GROUP}"


@pytest.mark.parametrize("name", ["agenttask", "agentclass"])
def test_columns_lead_to_fields(name: str) -> None:
    version = crd(name)["spec"]["versions"][0]
    known = {f"spec{p}" for p, _ in yaml_facts(part(name, "spec"))}
    known |= {f"status{p}" for p, _ in yaml_facts(part(name, "status"))}
    listed = version["additionalPrinterColumns"] + version.get("selectableFields", [])
    for path in (entry["jsonPath"].removeprefix(".") for entry in listed):
        field = path.partition("[?")[0].replace("[*]", "[]")
        assert path.startswith("metadata.") or field in known, f"{path} is no field"


@pytest.mark.parametrize("value", [2, "2"])
def test_quantity_may_be_a_number_as_in_a_pod(value: object) -> None:
    resources = Resources.model_validate({"limits": {"cpu": value}})
    assert resources.limits == {"cpu": "2"}


@pytest.mark.parametrize("value", [True, -1, 1.5, "two", None])
def test_quantity_refuses(value: object) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({"workspaceSize": value})


def test_unknown_field_is_refused(make_task: Callable[..., AgentTaskSpec]) -> None:
    with pytest.raises(ValidationError, match="promt"):
        make_task({"promt": "misspelt"})
