"""The catalogue for readers: JSON as the model gets it, Markdown as `docs/tools.md`."""

import json
from typing import Any

from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.operation import Operation
from agenttask_agent.tools.policy import READ, ROLE_SETS, Policy
from agenttask_agent.tools.schema import parameters_schema, tool_schema

INTRODUCTION = """# Tools

Every operation that an agent can call. Made from the catalogue by
`agenttask-agent tools --markdown`; a test holds this page and the code together.

R: allowed in a read-only run. Over the wire the dot is an underscore
(`files_read_file`). A result is `{ok, operation, output, truncated, exit_code?,
error?, metadata}`; a refused or failed call is a result, not the end of the run.
Paths are relative to the repository's root. Timeouts and sizes belong to the harness.
`finish` is not an operation: it belongs to the loop.
"""


def as_json(policy: Policy) -> str:
    """Return the tool list that a model is given under this policy."""
    return json.dumps([tool_schema(o) for o in policy.allowed(CATALOGUE)], indent=2)


def as_markdown(policy: Policy) -> str:
    """Return the documentation of the operations allowed under this policy."""
    operations = policy.allowed(CATALOGUE)
    parts = [INTRODUCTION, _roles()]
    for family in dict.fromkeys(operation.family for operation in operations):
        rows = [_row(o) for o in operations if o.family == family]
        head = ["| operation | R | arguments | |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {family}", "", *head, *rows, ""]))
    return "\n".join(parts)


def _roles() -> str:
    lines = [
        f"- {role}: "
        + ", ".join(f + (" (R only)" if kind == READ else "") for f, kind in s.items())
        for role, s in ROLE_SETS.items()
    ]
    built = sorted({operation.family for operation in CATALOGUE})
    note = f"Families built so far: {', '.join(built)}."
    text = "A role has these families; `spec.tools.allow` can only narrow them."
    return "\n".join(["## Roles", "", text, "", *lines, "", note, ""])


def _row(operation: Operation[Any]) -> str:
    mark = "R" if operation.read_only else ""
    return f"| `{operation.key}` | {mark} | {_arguments(operation)} | {operation.description} |"


def _arguments(operation: Operation[Any]) -> str:
    schema = parameters_schema(operation.params)
    required, properties = schema["required"], schema["properties"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    shown = [_argument(name, operation, name in required) for name in properties]
    return ", ".join(shown)


def _argument(name: str, operation: Operation[Any], required: bool) -> str:
    if required:
        return f"`{name}`"
    fields = operation.params.model_fields
    default = {field.alias or key: field.default for key, field in fields.items()}[name]
    return f"`{name}?`" if default is None else f"`{name}={json.dumps(default)}`"
