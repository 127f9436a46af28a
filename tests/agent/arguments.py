"""Arguments as a model could send them, made from an operation's own JSON schema.

`fitting` obeys the schema, with hostile words wherever the schema lets them through;
`breaking` breaks it in exactly one place; `anything` knows the names at most.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from agenttask_agent.tools.operation import Operation
from agenttask_agent.tools.schema import parameters_schema

Arguments = st.SearchStrategy[dict[str, Any]]
Words = Mapping[str, Sequence[str]]
"""Texts worth trying, by the name of the argument; `*` has those for all others."""

LONG = 20_000
"""The length of a text that the schema does not bound; the bounds proper are higher."""
HOSTILE = (
    *("..", "../outside/secret", "/etc/passwd", ".git/config", "link/secret", "hard", "pipe"),
    *("a\0b", "\udc80", "-rf", "--output=/tmp/x", "$(touch x)", "`id`", ";id", "*", ".", "~"),
    *("", " ", "\n", "con\nnewline", "\u202e", "%00", "%s", "(?P<x", "(a+)+$", "all", "x" * 5000),
)
TEXTS = st.sampled_from(HOSTILE)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)


def anything(operation: Operation[Any]) -> Arguments:
    """Return arguments of the right names with any values, and of wrong names."""
    names = sorted(parameters_schema(operation.params)["properties"])  # type: ignore[call-overload]
    known = dict.fromkeys(names, TEXTS | VALUES)
    return st.fixed_dictionaries({}, optional=known) | st.dictionaries(
        st.sampled_from(["path", *names]) | st.text(max_size=10), VALUES, max_size=4
    )


def fitting(operation: Operation[Any], words: Words) -> Arguments:
    """Return arguments that the operation's schema allows."""
    schema: dict[str, Any] = parameters_schema(operation.params)
    made = {name: _value(part, words, name) for name, part in schema["properties"].items()}
    required = {name: made[name] for name in schema["required"]}
    optional = {name: value for name, value in made.items() if name not in required}
    return st.fixed_dictionaries(required) | st.fixed_dictionaries(required, optional=optional)


def breaking(operation: Operation[Any], words: Words) -> Arguments:
    """Return arguments that the schema forbids: one unknown, missing or wrong among good ones."""
    schema: dict[str, Any] = parameters_schema(operation.params)
    properties, required = schema["properties"], schema["required"]
    unknown = st.text(max_size=10).filter(lambda name: name not in properties)
    ways = [st.dictionaries(unknown, VALUES, min_size=1, max_size=2)]
    ways += [_wrong(part).map(_named(name)) for name, part in properties.items() if part.keys()]
    broken = st.builds(lambda good, bad: good | bad, fitting(operation, words), st.one_of(ways))
    if not required:
        return broken
    without = st.sampled_from(required)
    return broken | st.builds(_without, fitting(operation, words), without)


def _named(name: str) -> Any:
    return lambda value: {name: value}


def _without(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key != name}


def _value(schema: dict[str, Any], words: Words, name: str) -> st.SearchStrategy[Any]:
    if "anyOf" in schema:
        return st.one_of([_value(part, words, name) for part in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    match schema.get("type"):
        case "string":
            return _text(schema, words.get(name) or words["*"])
        case "boolean":
            return st.booleans()
        case "integer":
            return _integer(schema["minimum"], schema["maximum"])
        case "array":
            few = min(schema["maxItems"], 4)
            item = _value(schema["items"], words, name)
            return st.lists(item, min_size=schema.get("minItems", 0), max_size=few)
        case "object":
            return _object(schema, words, name)
    return VALUES


def _text(schema: dict[str, Any], words: Sequence[str]) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", LONG)
    pattern = schema.get("pattern")
    if pattern:
        free = st.from_regex(pattern, fullmatch=True).filter(lambda t: least <= len(t) <= most)
    else:
        free = st.text(min_size=least, max_size=min(most, 60)) | st.just("x" * most)
    parts = [
        [word for word in each if least <= len(word) <= most and _matches(pattern, word)]
        for each in (words, HOSTILE)
    ]
    return st.one_of([free, *(st.sampled_from(part) for part in parts if part)])


def _matches(pattern: str | None, text: str) -> bool:
    return pattern is None or bool(re.fullmatch(pattern.removesuffix("$"), text))


def _integer(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least, min(most, least + 20)) | st.sampled_from([least, most])


def _object(schema: dict[str, Any], words: Words, name: str) -> st.SearchStrategy[dict[str, Any]]:
    rest = schema["additionalProperties"]
    keys = st.sampled_from(words.get(f"{name} keys", ("a",))) | TEXTS | st.text(max_size=10)
    values = VALUES if rest is True else _value(rest, words, name)
    return st.dictionaries(keys, values, max_size=3)


def _wrong(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that no reading of the schema allows, nothing that could be coerced."""
    if "anyOf" in schema or "const" in schema or "enum" in schema:
        return st.sampled_from([7, {}, "none of them", [7], [[]]])
    match schema["type"]:
        case "string":
            return st.sampled_from([7, 0.5, True, {}, [], ["a"], *_beyond(schema)])
        case "boolean":
            return st.sampled_from([7, 0.5, {}, [], "maybe", ""])
        case "integer":
            least, most = schema["minimum"], schema["maximum"]
            return st.sampled_from([least - 1, most + 1, 10**30, 0.5, float("nan"), {}, [], "x"])
        case "array":
            item = [[None], [["a"]], [{}]] if schema["items"] else []
            return st.sampled_from([7, {}, "a", True, *item])
    return st.sampled_from([7, [], "a", True, [["a", "b"]]])


def _beyond(schema: dict[str, Any]) -> list[str]:
    over = ["x" * (schema["maxLength"] + 1)] if "maxLength" in schema else []
    under = ["x" * (schema["minLength"] - 1)] if schema.get("minLength") else []
    return [*over, *under, *(["<\n>"] if "pattern" in schema else [])]
