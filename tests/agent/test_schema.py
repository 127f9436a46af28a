"""The schema that is read off the fields says what pydantic's own says."""

from typing import Any

import pytest

from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.operation import Params
from agenttask_agent.tools.schema import MAX_GRAMMAR_LENGTH, parameters_schema

LEFT_OUT = frozenset({"title", "default", "$defs"})


def simple(schema: dict[str, Any]) -> dict[str, Any]:
    """Return pydantic's schema without null, titles, defaults and huge bounds."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    rest = {name: value for name, value in schema.items() if name not in (*LEFT_OUT, "anyOf")}
    if len(choices) == 1:
        rest = choices[0] | rest
    elif choices:
        rest["anyOf"] = [simple(choice) for choice in choices]
    for inner in ("items", "additionalProperties"):
        if isinstance(rest.get(inner), dict):
            rest[inner] = simple(rest[inner])
    if rest.get("maxLength", 0) > MAX_GRAMMAR_LENGTH:
        del rest["maxLength"]
    return {name: value for name, value in rest.items() if name not in LEFT_OUT}


@pytest.mark.parametrize("operation", CATALOGUE, ids=lambda operation: operation.key)
def test_it_is_pydantic_s(operation: Any):
    theirs = operation.params.model_json_schema()
    ours = parameters_schema(operation.params)
    assert ours["properties"] == {n: simple(s) for n, s in theirs.get("properties", {}).items()}
    assert ours["required"] == theirs.get("required", [])


def test_a_type_without_a_schema_is_refused():
    class Odd(Params):
        """Arguments of no operation."""

        when: bytes

    with pytest.raises(TypeError, match="has no place in the schema"):
        parameters_schema(Odd)
