"""JSON schemas of everything the chart renders, as kubeconform reads them.

Kubernetes' own come from its OpenAPI document, which lies in the module that the cluster's
programs are built from; so nothing is downloaded that a cluster would not need as well.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agenttask_cluster.binaries import download_module
from agenttask_testbed import images
from agenttask_testbed.commands import run

Object = dict[str, Any]

REFERENCE = "#/definitions/"
EITHER = (
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
)
SKIPPED = ("AgentClass", "AgentTask", "PodMonitor", "ServiceMonitor", "PrometheusRule")
"""Ours are for the API server, which has the rules as well; the others' schemas are not here."""


def write(folder: Path) -> None:
    """Write one schema for each kind of Kubernetes' API."""
    module = download_module("kubernetes", "k8s.io/kubernetes")
    document = json.loads((module / "api/openapi-spec/swagger.json").read_text("utf-8"))
    definitions = {name: strict(name, text) for name, text in document["definitions"].items()}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            group = f"{kind['group'].split('.')[0]}-" if kind["group"] else ""
            file = folder / f"{kind['kind'].lower()}-{group}{kind['version']}.json"
            needed = dict(closure(name, definitions))
            file.write_text(
                json.dumps({"$ref": f"{REFERENCE}{name}", "definitions": needed}), encoding="utf-8"
            )


def strict(name: str, definition: Object) -> Object:
    """Refuse what a definition does not name; the API server would drop it silently."""
    if name in EITHER:
        return {"type": ["string", "integer", "number"]}
    if "properties" not in definition:
        return definition
    return {**definition, "additionalProperties": False}


def closure(name: str, definitions: Object) -> Iterator[tuple[str, Object]]:
    """Yield a definition and all that it refers to."""
    seen, todo = set(), [name]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            yield current, definitions[current]
            todo += references(definitions[current])


def references(value: object) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(REFERENCE)
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def conform(folder: Path, manifests: str) -> None:
    """Hold manifests against the schemas; raises CommandFailed with what does not conform."""
    location = f"{folder}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    run(images.binary("kubeconform"), "-schema-location", location, "-strict",
        "-skip", ",".join(SKIPPED), "-", stdin=manifests)  # fmt: skip
