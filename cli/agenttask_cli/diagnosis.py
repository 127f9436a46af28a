"""Whether a cluster has what a task needs: pure rules over what is there."""

from collections.abc import Iterator
from typing import Any

from agenttask_api.agentclass import DEFAULT_CLASS_ANNOTATION
from agenttask_courier.journal import clean

Object = dict[str, Any]
Finding = tuple[bool, str]
_MUST_HOLD = frozenset({"Ready", "ModelReachable"})


def diagnose(
    resources: set[str], operators: list[Object], classes: list[Object]
) -> Iterator[tuple[bool, str]]:
    """Yield every finding: whether it is good, and what it is with what to do."""
    missing = {"agenttasks", "agentclasses"} - resources
    yield (
        not missing,
        f"resource definitions missing: {', '.join(sorted(missing))}; install the CRDs"
        if missing
        else "resource definitions are installed",
    )
    yield from _operator_findings(operators)
    defaults = [c["metadata"]["name"] for c in classes if _is_default(c)]
    yield (len(defaults) == 1, _default_words(defaults))
    for class_ in classes:
        yield from _class_findings(class_)


def _operator_findings(operators: list[Object]) -> Iterator[tuple[bool, str]]:
    if not operators:
        yield False, "no operator: there is no Deployment agenttask-operator"
    for found in operators:
        wanted = found["spec"].get("replicas", 1)
        ready = found.get("status", {}).get("readyReplicas", 0)
        where = f"{found['metadata']['namespace']}/{found['metadata']['name']}"
        yield 0 < wanted <= ready, f"operator {where}: {ready} of {wanted} ready"


def _is_default(class_: Object) -> bool:
    annotations = class_["metadata"].get("annotations") or {}
    return annotations.get(DEFAULT_CLASS_ANNOTATION) == "true"


def _default_words(defaults: list[str]) -> str:
    if not defaults:
        return f"no default class: annotate one AgentClass with {DEFAULT_CLASS_ANNOTATION}=true"
    return (
        f"default class: {', '.join(defaults)}{'' if len(defaults) == 1 else '; only one may be'}"
    )


def _class_findings(class_: Object) -> Iterator[tuple[bool, str]]:
    """A class that has said nothing of itself yet is told as it is, and is not bad."""
    name, endpoint = class_["metadata"]["name"], class_["spec"]["model"]["endpoint"]
    conditions = class_.get("status", {}).get("conditions", [])
    if not conditions:
        yield True, f"class {name}: model at {endpoint}; the operator has not said how it is"
    for condition in conditions:
        good = condition["status"] == "True" or condition["type"] not in ("Ready", "ModelReachable")
        words = f"{condition['type']}={condition['status']} {condition['reason']}"
        yield good, f"class {name}: {words} {clean(condition.get('message', ''))}".rstrip()
