"""The task document: everything the pod is told, from task and class together.

Pure, and without a secret: endpoints and keys go to the courier by other ways.
"""

from agenttask_api import names
from agenttask_api.agentclass import AgentClassSpec, Generation
from agenttask_api.context import ContextPart, compose_context
from agenttask_api.spec import AgentTaskSpec, Connection
from agenttask_api.taskdocument import (
    MAX_DOCUMENT_BYTES,
    Clocks,
    GitPolicy,
    ModelSettings,
    TaskDocument,
    TaskIdentity,
)
from agenttask_operator.admission import Granted, InvalidTask, parse_quantity


def build_document(
    identity: TaskIdentity,
    prompt: str,
    task: AgentTaskSpec,
    class_: AgentClassSpec,
    granted: Granted,
    parts: tuple[ContextPart, ...] = (),
) -> TaskDocument:
    """Return the document; `prompt` and `parts` are what the task's references hold.

    Raises InvalidTask when it is larger than a pod can carry.
    """
    document = TaskDocument(
        identity=identity,
        role=task.role,
        prompt=prompt,
        context=compose_context(task.context, parts, task.context_tokens),
        repo=task.repo,
        setup=task.setup,
        env=task.env,
        model=_model(task, class_, granted),
        constraints=task.constraints.model_copy(
            update={"max_model_tokens": granted.max_model_tokens}
        ),
        tools_allow=task.tools.allow or ("*",),
        class_tools_allow=class_.tools.allow,
        connections=_connections(task),
        http_hosts=granted.http_hosts,
        docker_host=granted.docker_host,
        docker_images=granted.docker_images,
        verify=task.verify,
        protect=task.protect,
        output=task.output,
        artifacts=task.artifacts,
        git=_git(class_),
        clocks=_clocks(class_, granted),
        workspace_bytes=int(parse_quantity(task.limits.workspace_size)),
    )
    size = len(write_document(document).encode())
    if size > MAX_DOCUMENT_BYTES:
        raise InvalidTask(f"the task takes {size} bytes; at most {MAX_DOCUMENT_BYTES} fit a pod")
    return document


def write_document(document: TaskDocument) -> str:
    """Return the document as the text of names.TASK_FILE."""
    return document.model_dump_json(by_alias=True, exclude_none=True)


def _model(task: AgentTaskSpec, class_: AgentClassSpec, granted: Granted) -> ModelSettings:
    ours, theirs = task.model, _generation(task, class_)
    return ModelSettings(
        name=granted.model_name,
        temperature=theirs.temperature if ours.temperature is None else ours.temperature,
        max_tokens=ours.max_tokens or theirs.max_tokens,
        context_window=theirs.context_window,
        profile=class_.model.profile.value,
    )


def _generation(task: AgentTaskSpec, class_: AgentClassSpec) -> Generation:
    """Return the class's settings; what it says for the task's role goes first."""
    special = class_.model.roles.get(task.role, Generation())
    return class_.model.generation.model_copy(update=special.model_dump(exclude_none=True))


def _connections(task: AgentTaskSpec) -> tuple[Connection, ...]:
    """Return the task's connections; those of a read-only run cannot write, whatever they say."""
    forced = {"read_only": True} if task.constraints.read_only else {}
    return tuple(c.model_copy(update=forced) for c in task.tools.connections)


def _git(class_: AgentClassSpec) -> GitPolicy:
    return GitPolicy(
        author_name=class_.git.author_name,
        author_email=class_.git.author_email,
        deny_paths=class_.git.deny_paths,
        secret_scan=class_.git.secret_scan,
        proxy=class_.git.proxy,
        no_proxy=class_.git.no_proxy,
    )


def _clocks(class_: AgentClassSpec, granted: Granted) -> Clocks:
    return Clocks(
        run_seconds=granted.active_deadline_seconds,
        flush_seconds=class_.flush_seconds,
        grace_seconds=names.GRACE_SECONDS,
    )
