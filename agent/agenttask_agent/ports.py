"""What the loop needs of others: a model, tools, and someone who writes down what happens."""

from collections.abc import Sequence
from typing import Protocol

from agenttask_agent.messages import Message, Reply
from agenttask_agent.results import ToolResult


class Model(Protocol):
    """Answers a conversation; raises Stop when it cannot be asked any further."""

    def reply(
        self,
        conversation: Sequence[Message],
        tools: Sequence[Message],
        *,
        required: bool,
        variation: int = 0,
    ) -> Reply:
        """Return the next reply; `required` demands a tool call.

        Raises ContextOverflow when the conversation is too long. With a `variation`
        above 0 the model is asked in another way, so that it may answer otherwise.
        """
        ...


class Toolbox(Protocol):
    """The operations this run may use."""

    def schemas(self) -> list[Message]:
        """Return the tools as the model's API wants them."""
        ...

    def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        """Execute one operation; a failure is a result, never an exception."""
        ...

    def joins(self, name: str) -> bool:
        """Say whether an operation may run at the same time as others of its kind."""
        ...

    def call_together(
        self, calls: Sequence[tuple[str, dict[str, object]]]
    ) -> tuple[ToolResult, ...]:
        """Execute operations that join; the results are in the order of the calls."""
        ...

    def edits(self, name: str) -> bool:
        """Say whether an operation changes the files that are the work."""
        ...

    def review(self) -> str:
        """Return what has changed since the start, measured, not remembered."""
        ...


class Recorder(Protocol):
    """Writes down what happens; it must never fail the run."""

    def message(self, message: Message, reply: Reply | None = None) -> None:
        """Keep one message of the conversation, with the reply it was made from."""
        ...

    def thought(
        self,
        iteration: int,
        type_: str,
        content: str,
        operations: tuple[int, ...] = (),
        confidence: float | None = None,
    ) -> None:
        """Keep one entry of the reasoning log; `confidence` is the model's own, 0 to 1."""
        ...
