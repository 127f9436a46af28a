"""What a tool operation answers: one type for success, failure and refusal."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ToolResult:
    """The one result type of all operations.

    `ok` is False with `error` set when the operation failed or was refused;
    `denied` tells a refusal by policy from a failure.
    """

    ok: bool
    operation: str
    output: str = ""
    truncated: bool = False
    exit_code: int | None = None
    error: str | None = None
    metadata: dict[str, object] = field(default_factory=dict)
    denied: bool = False
    edited: bool = False
    """Whether it changed files of the workspace."""
    seq: int = 0
    """The operation's number in the audit, from 1; 0 when it was never attempted."""

    def for_model(self, around: Callable[[str], str] = str) -> str:
        """Return the text the model reads: a status line, then, framed, what was said.

        An error quotes what was read as well, so it is inside too.
        """
        state = "ok" if self.ok else "denied" if self.denied else "failed"
        code = f", exit code {self.exit_code}" if self.exit_code else ""
        cut = ", cut" if self.truncated else ""
        said = [f"error: {self.error}"] if self.error else []
        said += [self.output] if self.output else []
        framed = [around("\n".join(said))] if said else []
        return "\n".join([f"[{self.operation}: {state}{code}{cut}]", *framed])

    def to_json(self) -> dict[str, object]:
        """Return the JSON form, without the fields that do not apply."""
        document: dict[str, object] = {"ok": self.ok, "operation": self.operation}
        document |= {"output": self.output, "truncated": self.truncated}
        document |= {} if self.exit_code is None else {"exit_code": self.exit_code}
        document |= {} if self.error is None else {"error": self.error}
        document |= {"denied": True} if self.denied else {}
        return document | {"metadata": self.metadata}
