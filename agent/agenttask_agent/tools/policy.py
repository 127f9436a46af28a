"""Which operations a run may use: its role's set, narrowed by the task.

Narrowing is all a task can do. A read-only run keeps what cannot change anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from agenttask_agent.tools.operation import Operation, Params
from agenttask_api.vocabulary import Role

READ = "read"
"""Marks a family of which a role gets only what changes nothing."""

ROLE_SETS: dict[Role, dict[str, str]] = {
    Role.DEV: {"files": "", "git": "", "tests": ""},
    Role.QA: {"files": READ, "tests": "", "http": "", "git": READ},
    Role.ARCHITECT: {"files": READ, "git": READ, "db": READ, "http": READ},
    Role.DEVOPS: {"docker": "", "files": "", "http": "", "tests": "", "git": ""},
    Role.DATA: {"db": "", "files": "", "tests": "", "git": ""},
    Role.PO: {"files": READ, "http": READ},
}


@dataclass(frozen=True)
class Policy:
    """What one run may do."""

    role: Role | None = None
    """None = no role narrows, as for documentation."""
    allow: tuple[str, ...] = ("*",)
    read_only: bool = False
    ceiling: tuple[str, ...] = ("*",)
    """What the class allows; the task's list can only narrow it."""

    def refusal(self, operation: Operation[Any]) -> str:
        """Return why the operation is refused, or nothing when it is allowed."""
        if self.role and not _has(self.role, operation):
            return f"the role {self.role} does not have {operation.key}"
        if not _listed(operation, self.ceiling):
            return f"the task's class does not allow {operation.key}"
        if not _listed(operation, self.allow):
            return f"this task does not allow {operation.key}"
        if self.read_only and not operation.read_only:
            return f"this run is read-only; {operation.key} is not"
        return ""

    def refusal_of_use(self, operation: Operation[Any], params: Params) -> str:
        """Return why these arguments are refused to a run that may only read."""
        reads = self.read_only or (self.role and _reads(self.role, operation))
        if reads and operation.writes(params):
            return f"{operation.key} with these arguments changes something; this run only reads"
        return ""

    def allowed(self, catalogue: Iterable[Operation[Any]]) -> tuple[Operation[Any], ...]:
        """Return the operations that the model is offered."""
        return tuple(operation for operation in catalogue if not self.refusal(operation))


def policy_of(role: str | None, allow: tuple[str, ...], read_only: bool) -> Policy:
    """Return the policy from a command line's words; raises ValueError for a foreign role."""
    return Policy(Role(role.upper()) if role else None, allow, read_only)


def _listed(operation: Operation[Any], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(operation.key, pattern) for pattern in patterns)


def _has(role: Role, operation: Operation[Any]) -> bool:
    whole = ROLE_SETS[role].get(operation.family) == ""
    return whole or (_reads(role, operation) and operation.read_only)


def _reads(role: Role, operation: Operation[Any]) -> bool:
    return ROLE_SETS[role].get(operation.family) == READ
