"""Makes a long conversation short again, by code: no model writes the summary.

What is left is the beginning (who the agent is, what it is to do), a state card made
from what was really done, and the last messages. It happens at a threshold or when the
server says that the prompt is too long; in between the conversation only grows, which
is what makes the server's prefix cache work.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agenttask_agent import messages, prompts
from agenttask_agent.frame import Frame
from agenttask_agent.messages import Message, ToolCall
from agenttask_agent.results import ToolResult

SHARE = 0.75
"""Of the context less the room for a reply; beyond it the conversation is compacted."""
CHARACTERS_PER_TOKEN = 3
"""For what was said after the server last counted: rather too many tokens than too few."""
KEPT_MESSAGES = 4
MAX_NAMED = 50
MAX_FAILURE = 1500


@dataclass
class StateCard:
    """What a run has done so far, from the results of its operations."""

    read: dict[str, None] = field(default_factory=dict)
    edited: dict[str, None] = field(default_factory=dict)
    failure: str = ""
    """The end of the last failing tests; empty once tests pass."""

    def saw(self, call: ToolCall, result: ToolResult) -> None:
        """Remember one operation."""
        path = call.arguments.get("path")
        if result.ok and isinstance(path, str) and result.operation.startswith("files."):
            (self.edited if result.edited else self.read)[path] = None
        if result.operation.startswith("tests.") and not result.denied:
            self.failure = "" if result.ok else result.for_model()[-MAX_FAILURE:]

    def text(self, review: str, frame: Frame) -> str:
        """Return the card; `review` is the measured difference from the start."""
        done = prompts.fill(
            "done",
            read=_named(self.read),
            edited=_named(self.edited),
            review=review,
            failure=self.failure or "none",
        )
        return prompts.fill("state", done=frame.around(done))


def _named(paths: dict[str, None]) -> str:
    names = list(paths)[-MAX_NAMED:]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} before them" if more else "") or "none"


@dataclass
class Compaction:
    """When and how one run's conversation is made short."""

    window: int | None = None
    """The model's context in tokens; None = unknown, so only the server says when."""
    reserve: int = 0
    """Tokens to keep free for a reply."""
    counted: int = 0
    """Tokens of the first `counted_messages`, as the server counted them."""
    counted_messages: int = 0

    def saw(self, tokens: int, count: int) -> None:
        """Remember what the server counted for the first `count` messages."""
        self.counted, self.counted_messages = tokens, count

    def is_due(self, conversation: Sequence[Message]) -> bool:
        """Say whether the next request would come too near to the context's end."""
        if self.window is None:
            return False
        new = sum(len(str(m.get("content"))) for m in conversation[self.counted_messages :])
        room = self.window - min(self.reserve, self.window // 2)
        return self.counted + new // CHARACTERS_PER_TOKEN > SHARE * room

    def compact(
        self, conversation: Sequence[Message], opening: int, card: str
    ) -> list[Message] | None:
        """Return the short conversation; None when nothing can be left out any more."""
        tail = _tail(conversation[opening:])
        if len(tail) + 1 >= len(conversation) - opening:
            return None
        short = [*conversation[:opening], messages.user(card), *tail]
        self.counted, self.counted_messages = 0, 0
        return short


def _tail(messages_: Sequence[Message]) -> list[Message]:
    """Return the last messages from an assistant's on: a tool result needs its call."""
    start = max(0, len(messages_) - KEPT_MESSAGES)
    while start < len(messages_) and messages_[start].get("role") != "assistant":
        start += 1
    return list(messages_[start:])
