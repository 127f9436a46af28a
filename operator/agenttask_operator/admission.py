"""Whether a class takes a task, and with which settings the task then runs.

Pure. What a task leaves at the schema's default counts as left out: it gets the
class's default, cut to the class's maximum. What a task asks beyond a maximum is
refused, never cut: a run that silently got less would be blamed on the agent.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from agenttask_api.agentclass import AgentClassSpec, LimitValues, Toolchain
from agenttask_api.httphosts import BadHost, HostEntry, common, parse_host
from agenttask_api.spec import AgentTaskSpec, Constraints, Limits, Mode, OnError, Resources
from agenttask_api.unsupported import unsupported_in_class, unsupported_in_task
from agenttask_operator.observed import AgentClass

DEFAULT_RESOURCES = Resources(
    requests={"cpu": "200m", "memory": "512Mi"}, limits={"cpu": "2", "memory": "2Gi"}
)
"""Of the agent and the verifier, where neither task nor class says anything."""

_QUEUE_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")

_FACTORS = {
    "": 1.0,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}


class InvalidTask(ValueError):
    """The class refuses the task; the message names the field and what is allowed."""


class NoClass(LookupError):
    """There is no class that the task may use yet; the message says what to create."""


@dataclass(frozen=True)
class Granted:
    """What the task runs with."""

    active_deadline_seconds: int
    start_deadline_seconds: int
    retries: int
    max_model_tokens: int
    resources: Resources
    model_name: str
    toolchain_image: str
    """Empty = the operator's agent image."""
    docker_host: str = ""
    docker_images: tuple[str, ...] = ()
    http_hosts: tuple[str, ...] = ()
    """What both task and class allow."""


def choose_class(spec: AgentTaskSpec, classes: Mapping[str, AgentClass]) -> AgentClass:
    """Return the class the task names, or the default one; raises NoClass."""
    if spec.class_name:
        found = classes.get(spec.class_name)
        if not found:
            raise NoClass(f"AgentClass {spec.class_name!r} does not exist")
    else:
        found = _default_class(classes)
    if not found.spec:
        raise NoClass(f"AgentClass {found.name!r} is not valid: {found.error}")
    return found


def _default_class(classes: Mapping[str, AgentClass]) -> AgentClass:
    defaults = sorted(c.name for c in classes.values() if c.default)
    if not defaults:
        raise NoClass("spec.className is empty and no AgentClass is marked as the default one")
    if len(defaults) > 1:
        raise NoClass(f"spec.className is empty and there are two defaults: {', '.join(defaults)}")
    return classes[defaults[0]]


def namespace_allowed(spec: AgentClassSpec, labels: Mapping[str, str]) -> bool:
    """Say whether tasks in a namespace with these labels may use the class."""
    selector = spec.allowed_namespaces
    return not selector or all(labels.get(k) == v for k, v in selector.match_labels.items())


def not_implemented(task: AgentTaskSpec, class_: AgentClass | None) -> tuple[str, ...]:
    """Return the set fields of both that nothing honours yet."""
    fields = unsupported_in_task(task)
    if class_ and class_.spec:
        fields += tuple(f"AgentClass {class_.name} {f}" for f in unsupported_in_class(class_.spec))
    return fields


def grant(task: AgentTaskSpec, class_: AgentClassSpec) -> Granted:
    """Return what the task runs with; raises InvalidTask."""
    _check_mode(task.constraints)
    asked, default, most = task.limits, class_.limits.default, class_.limits.max
    toolchain = _toolchain(task, class_)
    if task.queue.name and not _QUEUE_NAME.fullmatch(task.queue.name):
        raise InvalidTask(f"spec.queue.name {task.queue.name!r} cannot name a LocalQueue")
    return Granted(
        active_deadline_seconds=_limit(asked, default, most, "active_deadline_seconds"),
        start_deadline_seconds=_limit(asked, default, most, "start_deadline_seconds"),
        retries=_limit(asked, default, most, "retries"),
        max_model_tokens=_limit(task.constraints, default, most, "max_model_tokens"),
        resources=_resources(asked.resources, default.resources, most.resources),
        model_name=_model_name(task, class_),
        toolchain_image=toolchain.image,
        docker_host=toolchain.docker_host,
        docker_images=toolchain.docker_images,
        http_hosts=_http_hosts(task, class_),
    )


def _check_mode(constraints: Constraints) -> None:
    """In Iterative mode the model sees every failure and decides itself how to go on."""
    if constraints.mode is Mode.ITERATIVE and constraints.on_error is not OnError.ABORT:
        raise InvalidTask(
            f"spec.constraints.onError is {constraints.on_error}; it is about the steps of a plan:"
            " set constraints.mode to Plan, or leave it out"
        )


def _limit(asked: Limits | Constraints, default: LimitValues, most: LimitValues, field: str) -> int:
    value: int = getattr(asked, field)
    maximum: int | None = getattr(most, field)
    info = type(asked).model_fields[field]
    if value == info.default:
        value = getattr(default, field) or value if field != "retries" else _retries(default, value)
        return value if maximum is None else min(value, maximum)
    if maximum is not None and value > maximum:
        group = "limits" if isinstance(asked, Limits) else "constraints"
        raise InvalidTask(
            f"spec.{group}.{info.alias} is {value}; the class allows at most {maximum}"
        )
    return value


def _retries(default: LimitValues, value: int) -> int:
    return value if default.retries is None else default.retries


def _resources(
    asked: Resources | None, default: Resources | None, most: Resources | None
) -> Resources:
    base, ours = default or DEFAULT_RESOURCES, asked or Resources()
    maxima = (most or Resources()).limits
    for field, name, value in _quantities(ours):
        if name in maxima and parse_quantity(value) > parse_quantity(maxima[name]):
            raise InvalidTask(
                f"spec.limits.resources.{field}.{name} is {value}; "
                f"the class allows at most {maxima[name]}"
            )
    limits = {**_capped(base.limits, maxima), **ours.limits}
    requests = {**base.requests, **ours.requests}
    return Resources(requests=_capped(requests, limits), limits=limits)


def _quantities(resources: Resources) -> Iterator[tuple[str, str, str]]:
    for field, values in (("requests", resources.requests), ("limits", resources.limits)):
        for name, value in values.items():
            yield field, name, value


def _capped(values: Mapping[str, str], maxima: Mapping[str, str]) -> dict[str, str]:
    """A request above its limit is one the API server refuses."""
    return {
        name: min(value, maxima.get(name, value), key=parse_quantity)
        for name, value in values.items()
    }


@lru_cache(maxsize=256)
def parse_quantity(text: str) -> float:
    """Return the number that a Kubernetes quantity means; raises InvalidTask."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", text)
    if not match or match[2] not in _FACTORS:
        raise InvalidTask(f"{text!r} is not a quantity")
    return float(match[1]) * _FACTORS[match[2]]


def _model_name(task: AgentTaskSpec, class_: AgentClassSpec) -> str:
    allowed = (class_.model.name, *class_.model.allowed_names)
    if task.model.name and task.model.name not in allowed:
        raise InvalidTask(
            f"spec.model.name is {task.model.name!r}; the class allows {', '.join(allowed)}"
        )
    return task.model.name or class_.model.name


def _http_hosts(task: AgentTaskSpec, class_: AgentClassSpec) -> tuple[str, ...]:
    """Return what both lists allow; an entry of the task that reaches nothing is refused."""
    asked, allowed = task.tools.http_hosts, class_.tools.http_hosts
    if not asked:
        return ()
    walls = [_host(entry, "the class's tools.httpHosts") for entry in allowed]
    found: list[str] = []
    for text in asked:
        entry = _host(text, "spec.tools.httpHosts")
        both = common(entry, walls)
        if not both or entry.private:
            listed = ", ".join(allowed) or "none"
            raise InvalidTask(f"spec.tools.httpHosts has {text!r}; the class allows {listed}")
        found += map(str, both)
    return tuple(dict.fromkeys(found))


def _host(text: str, where: str) -> HostEntry:
    try:
        return parse_host(text)
    except BadHost as error:
        raise InvalidTask(f"{where}: {error}") from error


def _toolchain(task: AgentTaskSpec, class_: AgentClassSpec) -> Toolchain:
    wanted = task.toolchain or class_.default_toolchain
    if not wanted:
        return class_.toolchains[0] if class_.toolchains else Toolchain(name="default")
    for toolchain in class_.toolchains:
        if toolchain.name == wanted:
            return toolchain
    known = ", ".join(t.name for t in class_.toolchains) or "none"
    raise InvalidTask(f"spec.toolchain {wanted!r} is not one of the class's: {known}")
