"""What a task refers to, and whether it can be used yet: tasks, and keys of ConfigMaps. Pure.

Contents are taken over when the run is accepted and travel in its task document: a
ConfigMap that is changed later changes no run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from agenttask_api.context import ContextPart
from agenttask_api.contextrecord import render_record
from agenttask_api.reasons import Reason
from agenttask_api.refs import ContextFrom, KeyRef
from agenttask_api.spec import MAX_PROMPT, AgentTaskSpec
from agenttask_operator import status
from agenttask_operator.admission import InvalidTask
from agenttask_operator.case import Case, sort_facts
from agenttask_operator.facts import ConfigMap, Facts, Reference, Standing


@dataclass(frozen=True)
class Obstacle:
    """Why a task cannot be given what it refers to."""

    reason: Reason
    message: str


def referred_tasks(spec: AgentTaskSpec) -> tuple[str, ...]:
    """Return the names of the tasks that a task refers to, each once, in their order."""
    names = (entry.task_ref.name for entry in spec.context_from if entry.task_ref)
    return tuple(dict.fromkeys(names))


def referred_keys(spec: AgentTaskSpec) -> tuple[tuple[str, KeyRef], ...]:
    """Return the keys of ConfigMaps that a task refers to, each with its field."""
    prompt = spec.prompt_from.config_map_key_ref if spec.prompt_from else None
    found = [("spec.promptFrom", prompt)] if prompt else []
    context = (entry.config_map_key_ref for entry in spec.context_from)
    return (*found, *(("spec.contextFrom", key) for key in context if key))


def wanted_tasks(facts: Facts, now: datetime) -> tuple[str, ...]:
    """Return the tasks whose records decide now: only those of a task about to start."""
    spec = facts.task.spec
    return referred_tasks(spec) if spec and _about_to_start(facts, spec, now) else ()


def wanted_config_maps(facts: Facts, now: datetime) -> tuple[str, ...]:
    """Return the names of the ConfigMaps that decide now, each once."""
    spec = facts.task.spec
    if not spec or not _about_to_start(facts, spec, now):
        return ()
    return tuple(dict.fromkeys(key.name for _, key in referred_keys(spec)))


def check_references(name: str, spec: AgentTaskSpec) -> None:
    """Raise InvalidTask for a task that waits for itself."""
    if name in referred_tasks(spec):
        raise InvalidTask(f"spec.contextFrom: the task refers to itself ({name!r}): leave it out")


def find_obstacle(case: Case) -> Obstacle | None:
    """Return what is missing of the first reference that cannot be used yet."""
    return next(_missing_keys(case), None) or next(_missing_tasks(case), None)


def find_prompt(case: Case) -> str:
    """Return the prompt, wherever it is kept; raises InvalidTask when it cannot be one."""
    if not case.spec.prompt_from:
        return case.spec.prompt or ""
    key = case.spec.prompt_from.config_map_key_ref
    text = _content(case, key) or ""
    where = f"spec.promptFrom: key {key.key!r} of ConfigMap {key.name!r}"
    if not text.strip():
        raise InvalidTask(f"{where} holds no text: write the prompt there")
    if len(text) > MAX_PROMPT:
        raise InvalidTask(
            f"{where} holds {len(text)} characters; a prompt has at most {MAX_PROMPT}"
        )
    return text


def context_parts(case: Case) -> tuple[ContextPart, ...]:
    """Return what `spec.contextFrom` brings as text, in its order, each source once."""
    found = (_part(case, entry) for entry in case.spec.context_from)
    return tuple({part.source: part for part in found if part}.values())


def _part(case: Case, entry: ContextFrom) -> ContextPart | None:
    if entry.task_ref:
        known = case.facts.references.get(entry.task_ref.name)
        source = f"Task {entry.task_ref.name}"
        return ContextPart(source, render_record(known.record)) if known and known.record else None
    key = entry.config_map_key_ref
    text = _content(case, key) if key else None
    return ContextPart(f"ConfigMap {key.name}, {key.key}", text) if key and text else None


def _content(case: Case, key: KeyRef) -> str | None:
    known = case.facts.config_maps.get(key.name)
    return known.data.get(key.key) if known else None


def _about_to_start(facts: Facts, spec: AgentTaskSpec, now: datetime) -> bool:
    if spec.cancel or spec.suspend or not (spec.context_from or spec.prompt_from):
        return False
    case = sort_facts(facts, spec, now)
    over = case.story.told and status.is_final(case.story.told)
    return not (over or case.known or facts.jobs)


def _missing_keys(case: Case) -> Iterator[Obstacle]:
    namespace = case.facts.task.key.namespace
    for field, key in referred_keys(case.spec):
        known = case.facts.config_maps.get(key.name, ConfigMap(found=False))
        if not known.found or key.key not in known.data:
            words = _key_words(key, known, namespace)
            yield Obstacle(Reason.REFERENCE_NOT_FOUND, f"{field}: {words}")


def _key_words(key: KeyRef, known: ConfigMap, namespace: str) -> str:
    if known.forbidden:
        words = f"the operator may not read ConfigMap {key.name!r} in namespace {namespace!r}"
        return f"{words}: {known.forbidden}"
    if known.found:
        there = ", ".join(sorted(known.data)) or "none"
        return f"ConfigMap {key.name!r} has no text under key {key.key!r}; its keys: {there}"
    command = f"kubectl create configmap {key.name} -n {namespace} --from-file={key.key}"
    return f"there is no ConfigMap {key.name!r} in namespace {namespace!r}; create it: {command}"


def _missing_tasks(case: Case) -> Iterator[Obstacle]:
    for name in referred_tasks(case.spec):
        found = case.facts.references.get(name, Reference(Standing.UNREADABLE))
        match found.standing:
            case Standing.UNFINISHED:
                yield Obstacle(Reason.WAITING_FOR_TASK, f"task {name!r} has not finished")
            case Standing.UNREADABLE:
                words = f"whether task {name!r} left a record cannot be told: NATS is unreachable"
                yield Obstacle(Reason.WAITING_FOR_TASK, words)
            case Standing.UNKNOWN:
                words = f"spec.contextFrom: there is no task {name!r}, and no record of one"
                yield Obstacle(Reason.REFERENCE_NOT_FOUND, words)
