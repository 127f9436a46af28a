"""One entry of the catalogue: what an operation is called, takes, may do and does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from agenttask_agent.tools.context import ToolContext


class Params(BaseModel):
    """Arguments as the model gave them; unknown ones are refused.

    A run uses a few of the operations, so each validator is built when first needed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(frozen=True)
class Answer:
    """What a handler hands back; with `error` set the operation has failed."""

    output: str = ""
    metadata: dict[str, object] = field(default_factory=dict)
    exit_code: int | None = None
    error: str | None = None
    truncated: bool = False
    keep_tail: bool = False
    """The end matters more than the beginning, as with test output."""


P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class Operation(Generic[P]):
    """`family.name`; `read_only` ones are allowed in a read-only run."""

    family: str
    name: str
    params: type[P]
    handler: Callable[[ToolContext, P], Answer]
    description: str
    read_only: bool = False
    edits: bool = False
    """Whether it changes the files that are the work."""
    writes: Callable[[P], bool] = lambda _: False
    """Tells the arguments with which a `read_only` operation is not one."""
    joins: bool = False
    """Whether several may run at once: it only reads, and starts no program."""

    @property
    def key(self) -> str:
        """The name in policies, audit and documentation."""
        return f"{self.family}.{self.name}"

    @property
    def wire_name(self) -> str:
        """The name the model calls: dots are not allowed there."""
        return f"{self.family}_{self.name}"
