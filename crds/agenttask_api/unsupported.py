"""Fields of the API that nothing honours yet.

A task that sets one is refused (`Accepted=False/NotImplemented`) and told which:
a field that is silently ignored is a promise broken. A test proves that every
spec field is either read by code or listed here.
"""

from collections.abc import Iterator

from agenttask_api.agentclass import AgentClassSpec
from agenttask_api.spec import AgentTaskSpec

UNSUPPORTED_TASK_FIELDS: tuple[str, ...] = (
    "agents.count",
    "agents.success",
    "agents.atLeast",
    "deliberation.rounds",
    "deliberation.selectTop",
    "artifacts.include",
    "artifacts.maxBytes",
)

UNSUPPORTED_TASK_VALUES: dict[str, tuple[str, ...]] = {
    "output.mode": ("Patch",),
}

UNSUPPORTED_CLASS_FIELDS: tuple[str, ...] = (
    "council.agents",
    "council.rounds",
    "council.weights",
)


def unsupported_in_task(spec: AgentTaskSpec) -> tuple[str, ...]:
    """Return the paths, as `spec.x.y`, of set fields that nothing honours."""
    given = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    fields = [p for p in UNSUPPORTED_TASK_FIELDS if _values(given, p)]
    fields += [
        f"{path}: {value}"
        for path, values in UNSUPPORTED_TASK_VALUES.items()
        for value in _values(given, path)
        if value in values
    ]
    return tuple(f"spec.{path}" for path in fields)


def unsupported_in_class(spec: AgentClassSpec) -> tuple[str, ...]:
    """Return the paths, as `spec.x.y`, of set class fields that nothing honours."""
    given = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return tuple(f"spec.{p}" for p in UNSUPPORTED_CLASS_FIELDS if _values(given, p))


def _values(given: object, path: str) -> list[object]:
    return list(_walk(given, path.split(".")))


def _walk(value: object, keys: list[str]) -> Iterator[object]:
    if not keys:
        yield value
        return
    key, rest = keys[0].removesuffix("[]"), keys[1:]
    if not isinstance(value, dict) or key not in value:
        return
    inner = value[key]
    for item in inner if keys[0].endswith("[]") else [inner]:
        yield from _walk(item, rest)
