"""A toolbox on a real repository, without a model and without a door."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.agent.witness import WitnessedToolbox

from agenttask_agent.audit import AuditTrail
from agenttask_agent.environment import program_environment
from agenttask_agent.redact import Redactor
from agenttask_agent.results import ToolResult
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.policy import policy_of
from agenttask_agent.tools.processtree import PR_SET_CHILD_SUBREAPER, become_subreaper
from agenttask_agent.tools.remotes import Remotes
from agenttask_agent.tools.repository import Author, Repository
from agenttask_agent.tools.review import Review
from agenttask_agent.tools.wholeoutput import WholeOutput
from agenttask_agent.tools.workspace import Workspace


class Tools:
    """Calls operations by keyword; `close` gives the workspace back."""

    def __init__(self, root: Path, tmp: Path, **options: Any) -> None:
        tmp.mkdir(exist_ok=True)
        self.root = root
        self.workspace = Workspace(root)
        repository = Repository(
            root,
            Author("AgentTask", "a@b.invalid"),
            os.environ["PATH"],
            remotes=options.pop("remotes", Remotes()),
        )
        secrets = options.pop("secrets", ())
        start = options.pop("start", ".")
        seconds = options.pop("seconds", 60.0)
        home = options.pop("home", tmp)
        env = program_environment(os.environ, options.pop("env", ()), home, tmp)
        redactor = Redactor(secrets)
        context = ToolContext(
            self.workspace,
            repository,
            env,
            tmp,
            start,
            seconds_left=lambda: seconds,
            whole_output=WholeOutput(tmp / "tests.log", redactor, "tests.log"),
        )
        self.audit = AuditTrail(tmp / "audit.jsonl", redactor)
        policy = policy_of(
            options.pop("role", "DEV"),
            options.pop("allow", ("*",)),
            options.pop("read_only", False),
        )
        self.toolbox = WitnessedToolbox(
            context, policy, self.audit, Review(repository, "HEAD"), redactor, **options
        )

    def __call__(self, operation: str, **arguments: Any) -> ToolResult:
        return self.toolbox.call(operation, arguments)

    def close(self) -> None:
        self.workspace.close()


@contextlib.contextmanager
def subreaper() -> Iterator[None]:
    """Be one, as the agent is: whatever a program leaves behind becomes our child."""
    become_subreaper()
    try:
        yield
    finally:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
