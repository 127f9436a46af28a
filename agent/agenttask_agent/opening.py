"""The first two messages of a run: who the agent is, and what it is to do."""

from collections.abc import Iterator, Sequence

from agenttask_agent import messages, prompts
from agenttask_agent.frame import Frame
from agenttask_agent.messages import Message
from agenttask_api.spec import Connection, Mode, Role
from agenttask_api.taskdocument import TaskDocument

MAX_LISTED_FILES = 200


def opening(
    document: TaskDocument,
    frame: Frame,
    absent: tuple[str, ...] = (),
    files: Sequence[str] = (),
) -> list[Message]:
    """Return the system and the user message.

    `frame` is told of in the second: the first is the same in every run of a role, which
    the server's prefix cache remembers. `absent` says what the run has to do without;
    `files` are named to a run that plans before it can look.
    """
    parts = [prompts.fill("task", task=document.prompt), *_from_task(document)]
    if document.repo.path:
        parts.append(prompts.fill("place", path=document.repo.path))
    if document.connections:
        parts.append(prompts.fill("databases", connections=_listed(document.connections)))
    if files:
        parts.append(prompts.fill("repository", files=frame.around(_named(files))))
    if absent:
        parts.append("\n".join(absent))
    parts.append(frame.note())
    return [messages.system(_system(document)), messages.user("\n\n".join(parts))]


def _system(document: TaskDocument) -> str:
    read_only = document.constraints.read_only
    if document.constraints.mode is Mode.PLAN:
        mode = prompts.text("mode_plan_read_only" if read_only else "mode_full")
        return prompts.fill("system_plan", persona=persona(document.role), mode=mode)
    mode = prompts.text("mode_read_only" if read_only else "mode_full")
    return prompts.fill("system", persona=persona(document.role), mode=mode)


def _from_task(document: TaskDocument) -> Iterator[str]:
    wanted = document.constraints
    if wanted.requirements:
        listed = "\n".join(f"{n}. {text}" for n, text in enumerate(wanted.requirements, 1))
        yield prompts.fill("requirements", requirements=listed)
    if wanted.rubric:
        yield prompts.fill("rubric", rubric=wanted.rubric)
    if document.context:
        yield prompts.fill("context", context=document.context)


def _named(files: Sequence[str]) -> str:
    more = len(files) - MAX_LISTED_FILES
    return "\n".join([*files[:MAX_LISTED_FILES], *([f"and {more} more"] if more > 0 else [])])


def _listed(connections: tuple[Connection, ...]) -> str:
    """Return what the model may know of the databases: names, kinds and rights."""
    rights = {True: "read-only", False: "may be written to"}
    return "\n".join(f"- `{c.name}`: {c.kind}, {rights[c.read_only]}" for c in connections)


def persona(role: Role) -> str:
    """Return the role's persona text."""
    return prompts.text(f"roles/{role.value}")
