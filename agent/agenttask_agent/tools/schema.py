"""Turns an operation's parameters into the strict JSON schema a model is given.

The schema becomes a grammar in the server, so it stays within what every grammar
back end knows: no references, no null, and bounds everywhere except on long texts,
whose bound would unroll into a huge grammar. The full bounds are checked here.

It is read off the declared fields, because pydantic builds a validator for each class
that it is asked a schema of, and a run needs few of the 52.
"""

from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import JsonValue, WithJsonSchema
from pydantic.fields import FieldInfo

from agenttask_agent.tools.operation import Operation, Params

MAX_GRAMMAR_LENGTH = 10_000
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
BOUNDS = {"ge": "minimum", "le": "maximum", "pattern": "pattern"}
LENGTHS = {
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
}


def tool_schema(operation: Operation[Any]) -> dict[str, object]:
    """Return the tool as the chat API wants it."""
    function = {
        "name": operation.wire_name,
        "description": operation.description,
        "strict": True,
        "parameters": parameters_schema(operation.params),
    }
    return {"type": "function", "function": function}


def parameters_schema(params: type[Params]) -> dict[str, object]:
    """Return the schema of one operation's arguments; TypeError for a type it cannot say."""
    fields = {field.alias or name: field for name, field in params.model_fields.items()}
    return {
        "type": "object",
        "properties": {name: _declared(field) for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field.is_required()],
        "additionalProperties": False,
    }


def _declared(field: FieldInfo) -> dict[str, Any]:
    """Return a field's schema; what its own declaration says wins over its type's."""
    schema = _marked(field.annotation, field.metadata)
    return schema | ({"description": field.description} if field.description else {})


def _marked(annotation: Any, marks: Iterable[Any]) -> dict[str, Any]:
    schema = _typed(annotation)
    for mark in marks:
        schema |= _said(mark, schema)
    if schema.get("maxLength", 0) > MAX_GRAMMAR_LENGTH:
        del schema["maxLength"]
    return schema


def _said(mark: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return what one mark of an annotation adds: a bound, a description, a whole schema."""
    if isinstance(mark, WithJsonSchema):
        return dict(mark.json_schema or {})
    if isinstance(mark, FieldInfo):
        said = {} if mark.description is None else {"description": mark.description}
        return said | {k: v for inner in mark.metadata for k, v in _said(inner, schema).items()}
    names = BOUNDS | LENGTHS.get(schema.get("type", ""), {})
    found = {schema_name: getattr(mark, name, None) for name, schema_name in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def _typed(annotation: Any) -> dict[str, Any]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in TYPES:
        return {"type": TYPES[annotation]}
    if origin is Annotated:
        return _marked(inner[0], inner[1:])
    if origin is Literal:
        return {"type": "string"} | ({"enum": [*inner]} if inner[1:] else {"const": inner[0]})
    if origin in (list, tuple):
        return {"type": "array", "items": _typed(inner[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _typed(inner[1])}
    if origin in (Union, UnionType):
        return _one_of([_typed(choice) for choice in inner if choice is not NoneType])
    if annotation is not JsonValue:
        raise TypeError(f"{annotation} has no place in the schema of an operation")
    return {}


def _one_of(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return choices[0] if len(choices) == 1 else {"anyOf": choices}
