"""From a task and a class to the document that the run works on: as the operator does it.

The operator's own pure modules decide what is granted and how the document looks, so
a task means the same here as on a cluster. What only a cluster has is said aloud.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path

from agenttask_api.agentclass import (
    AgentClassSpec,
    ClassModel,
    ClassTools,
    Toolchain,
)
from agenttask_api.spec import AgentTaskSpec
from agenttask_api.taskdocument import TaskDocument, TaskIdentity
from agenttask_api.unsupported import unsupported_in_class, unsupported_in_task
from agenttask_cli.errors import BadInput
from agenttask_cli.taskfile import Task
from agenttask_operator.admission import InvalidTask, grant
from agenttask_operator.taskdoc import build_document, write_document

__all__ = ["build_order", "class_of", "notes", "with_model", "write_document"]


def class_of(task: AgentTaskSpec, endpoint: str, model_name: str) -> AgentClassSpec:
    """Return the class for a run without one: the user is his own platform."""
    return AgentClassSpec(
        model=ClassModel(endpoint=endpoint, name=model_name),
        toolchains=(Toolchain(name=task.toolchain or "local"),),
        tools=ClassTools(http_hosts=task.tools.http_hosts),
    )


def with_model(class_: AgentClassSpec, endpoint: str, name: str) -> AgentClassSpec:
    """Return the class with another endpoint and model, where they are given."""
    given = {k: v for k, v in (("endpoint", endpoint), ("name", name)) if v}
    return class_.model_copy(update={"model": class_.model.model_copy(update=given)})


def build_order(path: Path, task: Task, class_: AgentClassSpec) -> TaskDocument:
    """Return the document; raises BadInput for what cannot be run."""
    absent = [*unsupported_in_task(task.spec), *unsupported_in_class(class_)]
    if absent:
        raise BadInput(
            *(f"{path}: {field}: nothing honours it yet; leave it out" for field in absent)
        )
    elsewhere = list(_only_on_a_cluster(task.spec))
    if elsewhere:
        raise BadInput(*(f"{path}: {line}" for line in elsewhere))
    try:
        return build_document(
            _identity(task), task.spec.prompt or "", task.spec, class_, grant(task.spec, class_)
        )
    except InvalidTask as error:
        raise BadInput(f"{path}: {error}") from error


def _identity(task: Task) -> TaskIdentity:
    return TaskIdentity(
        namespace=task.namespace,
        name=task.name,
        uid=str(uuid.uuid4()),
        run_id=task.spec.run_id,
        run_key=task.spec.run_key(),
    )


def _only_on_a_cluster(spec: AgentTaskSpec) -> Iterator[str]:
    if spec.prompt_from:
        yield "spec.promptFrom: names a ConfigMap of a cluster; write the text into spec.prompt"
    if spec.context_from:
        yield "spec.contextFrom: names objects of a cluster; write the text into spec.context"
    if spec.agents.count > 1:
        yield "spec.agents.count: several agents need a cluster; leave it out"
    if spec.cancel:
        yield "spec.cancel: is true; a cancelled task is not run"


def notes(spec: AgentTaskSpec, class_: AgentClassSpec) -> Iterator[str]:
    """Say what of the task means something else, or nothing, on this machine."""
    if spec.repo.credentials_ref:
        yield "repo.credentialsRef is a cluster's: your own git access is used"
    if spec.repo.ca_ref:
        yield "repo.caRef is a cluster's: the authorities that your git trusts are used"
    if any(toolchain.image for toolchain in class_.toolchains):
        yield "toolchain images are not used: the programs of this machine are"
    if spec.limits.resources or class_.limits.default.resources:
        yield "limits.resources is not enforced on this machine"
    if spec.suspend:
        yield "suspend is not looked at: the task is run now"
