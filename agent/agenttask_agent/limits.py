"""The run's budgets: replies, operations, tokens, time.

Checked before each step, so a limit of N allows N and never N + 1. They keep an
honest agent within bounds; against a hostile one the courier's gate counts again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agenttask_agent.messages import Reply
from agenttask_agent.outcome import Stop
from agenttask_api.reasons import Reason
from agenttask_api.status import Usage


@dataclass(frozen=True)
class Limits:
    """What a run may use. `seconds` counts from the budget's creation."""

    replies: int
    operations: int
    tokens: int
    seconds: float = float("inf")


@dataclass
class Budget:
    """What a run has used."""

    limits: Limits
    clock: Callable[[], float] = time.monotonic
    replies: int = 0
    """Those the run may act on: what limits.replies bounds."""
    probes: int = 0
    """Answers of the start-up probe; they cost tokens, and are no iteration."""
    operations: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens of all calls so far."""
        return self.input_tokens + self.output_tokens

    def seconds_left(self) -> float:
        """Return the seconds until the run's deadline, never below zero."""
        return max(0.0, self.limits.seconds - (self.clock() - self.started))

    def before_reply(self) -> None:
        """Raise Stop when no further model call is allowed."""
        if self.replies >= self.limits.replies:
            raise Stop(Reason.ITERATION_LIMIT, f"not finished after {self.replies} iterations")
        if self.tokens >= self.limits.tokens:
            raise Stop(Reason.BUDGET_EXCEEDED, self._spent("tokens", self.tokens))
        if self.seconds_left() <= 0:
            raise Stop(Reason.DEADLINE_EXCEEDED, f"not finished after {self.limits.seconds:g} s")

    def count(self, reply: Reply) -> None:
        """Add one reply and its tokens."""
        self.replies += 1
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens

    def count_probe(self, reply: Reply) -> None:
        """Add the tokens of one answer to the start-up probe."""
        self.probes += 1
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens

    def before_operation(self) -> None:
        """Count one operation, or raise Stop when none is left."""
        if self.operations >= self.limits.operations:
            raise Stop(Reason.BUDGET_EXCEEDED, self._spent("operations", self.operations))
        self.operations += 1

    def usage(self) -> Usage:
        """Return the usage as the report states it."""
        return Usage(
            model_calls=self.replies + self.probes,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            total_tokens=self.tokens,
        )

    def _spent(self, what: str, used: int) -> str:
        limit = self.limits.tokens if what == "tokens" else self.limits.operations
        return f"used {used} of {limit} {what}"
