"""`agenttask-agent call`: one operation in a workspace, exactly as in a run."""

import os
import tempfile
from pathlib import Path

from agenttask_agent.audit import AuditTrail
from agenttask_agent.environment import program_environment
from agenttask_agent.redact import Redactor, secret_values
from agenttask_agent.results import ToolResult
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.policy import policy_of
from agenttask_agent.tools.process import limit_resources
from agenttask_agent.tools.processtree import become_subreaper
from agenttask_agent.tools.remotes import Remotes
from agenttask_agent.tools.repository import Author, Repository
from agenttask_agent.tools.review import Review
from agenttask_agent.tools.toolbox import Toolbox
from agenttask_agent.tools.workspace import Workspace
from agenttask_api.taskdocument import GitPolicy


def call(
    workspace: Path,
    operation: str,
    arguments: dict[str, object],
    *,
    role: str = "DEV",
    allow: tuple[str, ...] = ("*",),
    read_only: bool = False,
    remotes: tuple[str, ...] = (),
) -> ToolResult:
    """Execute the operation and return its result.

    The workspace is treated as the agent's own: git's configuration in it is cut down
    to what is harmless.
    """
    become_subreaper()
    limit_resources()
    root = workspace.resolve(strict=True)
    policy = GitPolicy()
    repository = Repository(
        root,
        Author(policy.author_name, policy.author_email),
        os.environ["PATH"],
        remotes=Remotes(remotes),
    )
    with tempfile.TemporaryDirectory(prefix="agenttask-") as folder:
        tmp = Path(folder)
        context = ToolContext(
            workspace=Workspace(root),
            repository=repository,
            env=program_environment(os.environ, (), tmp, tmp),
            tmp=tmp,
        )
        redactor = Redactor(secret_values(os.environ))
        audit = AuditTrail(tmp / "audit.jsonl", redactor)
        allowed = policy_of(role, allow, read_only)
        toolbox = Toolbox(context, allowed, audit, Review(repository, "HEAD"), redactor)
        return toolbox.call(operation, arguments)
