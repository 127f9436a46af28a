"""No field is silently ignored: it is honoured by code, or a task that sets it is refused."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agenttask_api import unsupported
from agenttask_api.agentclass import AgentClassSpec, Toleration
from agenttask_api.spec import AgentTaskSpec, Resources

ROOT = Path(__file__).parents[2]
READERS = ("operator", "agent", "crds/agenttask_api/taskdocument.py")
"""The task document is the specification on its way into the pod; its methods read for it."""
PASSED_WHOLE = (Resources, Toleration)
"""Written into the pod as they are, so their own fields are nobody's to read."""
MakeTask = Callable[..., AgentTaskSpec]
MakeClass = Callable[..., AgentClassSpec]

LISTED_VALUES = [
    pytest.param(path, value, id=f"{path}: {value}")
    for path, values in unsupported.UNSUPPORTED_TASK_VALUES.items()
    for value in values
]


def plain(path: str) -> str:
    """Return the path without the marks of lists and maps."""
    return path.replace("[]", "").replace("{}", "")


def covered(path: str, listed: tuple[str, ...]) -> bool:
    """A listed field covers what is in it."""
    return any(f"{plain(path)}.".startswith(f"{plain(entry)}.") for entry in listed)


def expected_task(leaf: Any) -> tuple[str, ...]:
    if covered(leaf.path, unsupported.UNSUPPORTED_TASK_FIELDS):
        return (f"spec.{leaf.path}",)
    values = unsupported.UNSUPPORTED_TASK_VALUES.get(leaf.path, ())
    return tuple(f"spec.{leaf.path}: {v}" for v in values if v == leaf.sample)


def test_task_field_is_reported_exactly_if_listed(task_leaf: Any, make_task: MakeTask) -> None:
    spec = make_task({task_leaf.path: task_leaf.sample})
    assert unsupported.unsupported_in_task(spec) == expected_task(task_leaf)


@pytest.mark.parametrize(("path", "value"), LISTED_VALUES)
def test_task_value_is_reported(path: str, value: str, make_task: MakeTask) -> None:
    found = unsupported.unsupported_in_task(make_task({path: value}))
    assert found == (f"spec.{path}: {value}",)


def test_class_field_is_reported_exactly_if_listed(class_leaf: Any, make_class: MakeClass) -> None:
    spec = make_class({class_leaf.path: class_leaf.sample})
    listed = class_leaf.path in unsupported.UNSUPPORTED_CLASS_FIELDS
    expected = (f"spec.{class_leaf.path}",) if listed else ()
    assert unsupported.unsupported_in_class(spec) == expected


def test_field_of_a_list_item_is_reported(make_class: MakeClass) -> None:
    listed = [p for p in unsupported.UNSUPPORTED_CLASS_FIELDS if p == "toolchains[].dockerHost"]
    spec = make_class({"toolchains": [{"name": "x", "dockerHost": "tcp://docker:2375"}]})
    assert unsupported.unsupported_in_class(spec) == tuple(f"spec.{p}" for p in listed)


def test_plain_task_and_class_are_supported(make_task: MakeTask, make_class: MakeClass) -> None:
    assert unsupported.unsupported_in_task(make_task()) == ()
    assert unsupported.unsupported_in_class(make_class()) == ()


def test_every_listed_path_is_a_field(api_fields: tuple[Any, ...]) -> None:
    known = {field.path for field in api_fields}
    listed = (
        *unsupported.UNSUPPORTED_TASK_FIELDS,
        *unsupported.UNSUPPORTED_TASK_VALUES,
        *unsupported.UNSUPPORTED_CLASS_FIELDS,
    )
    assert not set(listed) - known, "listed, but no field of the API"
    assert len(set(unsupported.UNSUPPORTED_TASK_FIELDS)) == len(unsupported.UNSUPPORTED_TASK_FIELDS)


def names_read() -> Iterator[str]:
    for place in (ROOT / reader for reader in READERS):
        for file in [place] if place.is_file() else place.rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
            yield from (n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute))


def only_holds_listed(field: Any, every: tuple[Any, ...], honoured: list[Any]) -> bool:
    """Nobody reads an object of which each field is listed."""
    inside = [f for f in every if plain(f.path).startswith(f"{plain(field.path)}.")]
    return bool(inside) and not any(f in honoured for f in inside)


def test_every_spec_field_is_read_or_listed(api_fields: tuple[Any, ...]) -> None:
    """By name only: a common name such as `name` is found wherever anything has a name."""
    listed = unsupported.UNSUPPORTED_TASK_FIELDS + unsupported.UNSUPPORTED_CLASS_FIELDS
    read = set(names_read())
    honoured = [f for f in api_fields if not (covered(f.path, listed) or f.owner in PASSED_WHOLE)]
    missing = [
        f"{field.owner.__name__}: spec.{field.path}"
        for field in honoured
        if field.attribute not in read and not only_holds_listed(field, api_fields, honoured)
    ]
    assert not missing, "neither read by code nor listed:\n" + "\n".join(missing)
