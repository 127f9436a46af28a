"""Read a task or a class from YAML and say exactly what is wrong with it.

As strict as the API server: unknown fields, doubled keys and values of another type
are refused, nulls are as left out, and the schema's defaults are those of the API.
"""

import difflib
import json
import sys
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from agenttask_api.agentclass import AgentClassSpec
from agenttask_api.rules import broken_rules
from agenttask_api.schema import API_VERSION
from agenttask_api.spec import AgentTaskSpec
from agenttask_cli.errors import BadInput

MAX_FILE_BYTES = 1024 * 1024
DEFAULT_NAMESPACE = "default"
Spec = TypeVar("Spec", AgentTaskSpec, AgentClassSpec)
Object = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One AgentTask, valid."""

    namespace: str
    name: str
    spec: AgentTaskSpec


def read_task(path: Path) -> Task:
    """Return the task in the file (`-` = stdin); raises BadInput."""
    return read_manifest(path)[0]


def read_manifest(path: Path) -> tuple[Task, Object]:
    """Return the task and the object as it is in the file, for sending it on; raises BadInput."""
    found = _read_object(path, "AgentTask")
    return _task_of(path, found), {**found, "metadata": dict(found["metadata"])}


def _task_of(path: Path, found: Object) -> Task:
    metadata = found.get("metadata") or {}
    name = metadata.get("name")
    if not isinstance(name, str):
        raise BadInput(f"{path}: metadata.name: give the task a name; branch and files carry it")
    spec = _validated(path, AgentTaskSpec, found.get("spec"))
    broken = broken_rules(name, spec)
    if broken:
        raise BadInput(*(f"{path}: {line}" for line in broken))
    return Task(str(metadata.get("namespace") or DEFAULT_NAMESPACE), name, spec)


def read_class(path: Path) -> AgentClassSpec:
    """Return the spec of the class in the file; raises BadInput."""
    return _validated(path, AgentClassSpec, _read_object(path, "AgentClass").get("spec"))


def _read_object(path: Path, kind: str) -> Object:
    documents = [d for d in _parsed(path, _read(path)) if d is not None]
    if len(documents) != 1:
        raise BadInput(f"{path}: holds {len(documents)} objects; give a file with one {kind}")
    found = documents[0]
    if not isinstance(found, dict) or found.get("kind") != kind:
        told = found.get("kind") if isinstance(found, dict) else type(found).__name__
        raise BadInput(f"{path}: kind: is {told!r}; this must be one {kind}")
    if found.get("apiVersion") != API_VERSION:
        told = found.get("apiVersion")
        raise BadInput(f"{path}: apiVersion: is {told!r}; write {API_VERSION}")
    unknown = sorted(set(found) - {"apiVersion", "kind", "metadata", "spec", "status"})
    if unknown or not isinstance(found.get("metadata", {}), dict):
        raise BadInput(f"{path}: {unknown[0] if unknown else 'metadata'}: unknown or no mapping")
    plain: Object = _without_nulls(found)
    return plain


def _read(path: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"{path}: has {len(data)} bytes; no task has more than {MAX_FILE_BYTES}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 text") from error


def _parsed(path: Path, text: str) -> list[Any]:
    try:
        return list(yaml.load_all(text, Loader=_Strict))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadInput(f"{path}: {where}{error.problem or 'is not YAML'}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"{path}: is not YAML: {error}") from error


class _Strict(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def _validated(path: Path, model: type[Spec], spec: object) -> Spec:
    if not isinstance(spec, dict):
        raise BadInput(f"{path}: spec: is missing or no mapping")
    try:
        return model.model_validate_json(json.dumps(spec, default=str), strict=True)
    except ValidationError as error:
        raise BadInput(*(f"{path}: {line}" for line in _explained(error, model))) from error


def _explained(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    for found in error.errors(include_url=False, include_context=False):
        where = ".".join(["spec", *(str(part) for part in found["loc"])])
        if found["type"] == "extra_forbidden":
            yield f"{where}: unknown field{_suggestion(model, found['loc'])}"
        elif found["type"] == "missing":
            yield f"{where}: is required"
        else:
            yield f"{where}: {_lowered(found['msg'])}; it is {_shown(found['input'])}"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _suggestion(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Return the known field that looks most like the unknown one."""
    known = _names_at(model.model_json_schema(), location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _names_at(schema: Object, location: tuple[int | str, ...]) -> list[str]:
    definitions = schema.get("$defs", {})
    for part in location:
        node = _resolved(schema, definitions)
        items = node.get("items", {}) if isinstance(part, int) else {}
        schema = items or node.get("properties", {}).get(part, {})
    return list(_resolved(schema, definitions).get("properties", {}))


def _resolved(node: Object, definitions: Object) -> Object:
    options = [o for o in node.get("anyOf", []) if o.get("type") != "null"]
    node = options[0] if options else node
    reference = str(node.get("$ref", "")).rpartition("/")[2]
    return dict(definitions.get(reference, node))
