"""Every field of the API models, and for each a value that is valid and not its default."""

import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from agenttask_api.agentclass import AgentClassSpec
from agenttask_api.spec import AgentTaskSpec

TASK = {"prompt": "do it", "repo": {"url": "https://git.example/base.git"}}
CLASS = {"model": {"endpoint": "http://vllm.example"}}
TEXTS = ("x", "1", "5Gi", "Exists", "NoExecute", "https://git.example/x.git", "nats://nats.example",
         "tcp://engine:2375", "http://proxy.example:3128")  # fmt: skip


@dataclass(frozen=True)
class ApiField:
    """One field, wherever it is nested; `setup[].name` is a field of a list's items."""

    path: str
    attribute: str
    owner: type[BaseModel]
    sample: Any
    leaf: bool
    """Settable by its path alone: not nested in a list, a map or an optional object."""


def fields_of(
    model: type[BaseModel], prefix: str = "", settable: bool = True
) -> Iterator[ApiField]:
    """Yield the fields of a model and of all models in it."""
    schema = model.model_json_schema(by_alias=True)
    for attribute, field in model.model_fields.items():
        name = str(field.alias)
        nested, suffix = model_within(field.annotation)
        plain = isinstance(field.default, BaseModel) or (nested is not None and field.is_required())
        sample = sample_of(schema["properties"][name], schema.get("$defs", {}))
        is_leaf = settable and not (plain and suffix == "")
        yield ApiField(prefix + name, attribute, model, sample, is_leaf)
        if nested:
            yield from fields_of(nested, f"{prefix}{name}{suffix}.", settable and not is_leaf)


def model_within(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """Return the model that a field's type holds, and `[]` or `{}` if it holds many."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin = get_origin(annotation)
    suffix = {tuple: "[]", dict: "{}", Union: "", types.UnionType: ""}.get(origin, "")
    for argument in get_args(annotation):
        found, inner = model_within(argument)
        if found:
            return found, suffix + inner
    return None, ""


def sample_of(schema: dict[str, Any], defs: dict[str, Any]) -> Any:
    """Return a valid value that is not the default."""
    schema = resolved(schema, defs)
    if "enum" in schema:
        return next(v for v in schema["enum"] if v != schema.get("default"))
    return SAMPLERS[schema["type"]](schema, defs)


def resolved(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with its reference followed and its `or null` left out."""
    if "anyOf" in schema:
        schema = next(s for s in schema["anyOf"] if s.get("type") != "null")
    if "$ref" in schema:
        return {**defs[schema["$ref"].rpartition("/")[2]], **schema}
    return schema


def _number(schema: dict[str, Any], _: dict[str, Any]) -> int:
    floor = int(schema.get("minimum", 0))
    return floor + 1 if schema.get("default") == floor else floor


def _fraction(_: dict[str, Any], __: dict[str, Any]) -> float:
    return 0.5


def _other_truth(schema: dict[str, Any], _: dict[str, Any]) -> bool:
    return not schema.get("default", False)


def _text(schema: dict[str, Any], _: dict[str, Any]) -> str:
    pattern = re.compile(schema.get("pattern", ""))
    fitting = (t for t in TEXTS if pattern.search(t) and len(t) >= schema.get("minLength", 0))
    return next(t for t in fitting if t != schema.get("default"))


def _list(schema: dict[str, Any], defs: dict[str, Any]) -> list[Any]:
    return [sample_of(schema["items"], defs)]


def _object(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    if "additionalProperties" in schema and schema["additionalProperties"]:
        keys = resolved(schema.get("propertyNames", {}), defs).get("enum", ["x"])
        return {keys[0]: sample_of(schema["additionalProperties"], defs)}
    names = schema.get("required") or list(schema["properties"])[:1]
    return {name: sample_of(schema["properties"][name], defs) for name in names}


SAMPLERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "integer": _number,
    "number": _fraction,
    "boolean": _other_truth,
    "string": _text,
    "array": _list,
    "object": _object,
}


def with_value(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the nested mapping with one more value in it."""
    head, _, rest = path.partition(".")
    inner = with_value(base.get(head, {}), rest, value) if rest else value
    return {**base, head: inner}


TASK_FIELDS = tuple(fields_of(AgentTaskSpec))
CLASS_FIELDS = tuple(fields_of(AgentClassSpec))
PARAMETERS = {
    "task_leaf": [f for f in TASK_FIELDS if f.leaf],
    "class_leaf": [f for f in CLASS_FIELDS if f.leaf],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, fields in PARAMETERS.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, fields, ids=lambda field: field.path)


@pytest.fixture(scope="session")
def api_fields() -> tuple[ApiField, ...]:
    """All fields of task and class, nested ones too."""
    return TASK_FIELDS + CLASS_FIELDS


@pytest.fixture(scope="session")
def make_task() -> Callable[..., AgentTaskSpec]:
    """Build a task's spec, by JSON path: `make_task({"agents.count": 2})`."""

    def make(changes: dict[str, Any] | None = None) -> AgentTaskSpec:
        values: dict[str, Any] = TASK
        for path, value in (changes or {}).items():
            values = with_value(values, path, value)
        return AgentTaskSpec.model_validate(values)

    return make


@pytest.fixture(scope="session")
def make_class() -> Callable[..., AgentClassSpec]:
    """Build a class's spec, by JSON path."""

    def make(changes: dict[str, Any] | None = None) -> AgentClassSpec:
        values: dict[str, Any] = CLASS
        for path, value in (changes or {}).items():
            values = with_value(values, path, value)
        return AgentClassSpec.model_validate(values)

    return make
