"""Writes down a run: the conversation as JSON lines, the reasoning log, live events.

Append-only and flushed line by line, so that a killed run leaves what it had. A
record that cannot be written is counted and never fails the run.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agenttask_agent.loglines import log_event
from agenttask_agent.messages import Message, Reply
from agenttask_api.door import TOOL, DoorEvent, ToolCall
from agenttask_api.result import Thought

MAX_THOUGHT = 2000
MAX_EVENT_MESSAGE = 1000
Publish = Callable[[DoorEvent], None]


class Transcript:
    """The loop's recorder. `publish` is told of every entry as it happens."""

    def __init__(self, path: Path, publish: Publish, clock: Callable[[], float] = time.time):
        self.path = path
        self.thoughts: list[Thought] = []
        self.lost = 0
        self.iteration = 0
        """The newest one that anything was told of."""
        self._publish = publish
        self._clock = clock

    def message(self, message: Message, reply: Reply | None = None) -> None:
        """Append one message; a model's one with its reasoning and tokens."""
        entry: dict[str, Any] = {"time": round(self._clock(), 3), **message}
        if reply:
            usage = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
            entry |= {"usage": usage}
            entry |= {"reasoning": reply.reasoning} if reply.reasoning else {}
            self._publish(DoorEvent(step=0, type="model_call", data=dict(usage)))
        self._append(entry)

    def thought(
        self,
        iteration: int,
        type_: str,
        content: str,
        operations: tuple[int, ...] = (),
        confidence: float | None = None,
    ) -> None:
        """Append one entry to the reasoning log, cut to a readable length."""
        self.iteration = iteration
        short = content if len(content) <= MAX_THOUGHT else content[:MAX_THOUGHT] + " [cut]"
        self.thoughts.append(
            Thought(
                iteration=iteration,
                type=type_,
                content=short,
                related_operations=operations,
                confidence=confidence,
            )
        )
        self._publish(DoorEvent(step=iteration, type=type_, message=short[:MAX_EVENT_MESSAGE]))

    def log(self, text: str) -> None:
        """Tell log lines; they are kept nowhere here."""
        self._publish(log_event(self.iteration, text))

    def tool(self, call: ToolCall) -> None:
        """Tell when a tool was called; the trace is made elsewhere."""
        self._publish(DoorEvent(step=self.iteration, type=TOOL, data=call.model_dump()))

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")
        except OSError:
            self.lost += 1
