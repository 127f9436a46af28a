"""The first two messages of a run: who the agent is, and what it is to do."""

from agenttask_agent import messages, prompts
from agenttask_agent.messages import Message
from agenttask_api.spec import Connection, Role
from agenttask_api.taskdocument import TaskDocument


def opening(document: TaskDocument, absent: tuple[str, ...] = ()) -> list[Message]:
    """Return the system and the user message; `absent` says what the run has to do without."""
    read_only = document.constraints.read_only
    mode = prompts.text("mode_read_only" if read_only else "mode_full")
    system = prompts.fill("system", persona=persona(document.role), mode=mode)
    parts = [prompts.fill("task", task=document.prompt)]
    if document.context:
        parts.append(prompts.fill("context", context=document.context))
    if document.repo.path:
        parts.append(prompts.fill("place", path=document.repo.path))
    if document.connections:
        parts.append(prompts.fill("databases", connections=_listed(document.connections)))
    if absent:
        parts.append("\n".join(absent))
    return [messages.system(system), messages.user("\n\n".join(parts))]


def _listed(connections: tuple[Connection, ...]) -> str:
    """Return what the model may know of the databases: names, kinds and rights."""
    rights = {True: "read-only", False: "may be written to"}
    return "\n".join(f"- `{c.name}`: {c.kind}, {rights[c.read_only]}" for c in connections)


def persona(role: Role) -> str:
    """Return the role's persona text."""
    return prompts.text(f"roles/{role.value}")
