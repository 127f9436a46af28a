"""A run's log as the courier can tell it: what the agent says, and the courier's own steps.

The newest lines are kept for whoever asks later; nothing is sent from here.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agenttask_api.door import LOG, DoorEvent
from agenttask_api.logs import MAX_KEPT_LINES, MAX_LINE_CHARACTERS, LogLine
from agenttask_api.taskdocument import TaskIdentity
from agenttask_courier.journal import clean
from agenttask_courier.redaction import Redaction

MAX_LINES_AT_ONCE = 50
"""Of one event: its sender is hostile, and must not push out all that was said before."""
_LEVELS = {"error": "error", "model_call": "debug"}


@dataclass
class LogLines:
    """The newest lines of one run."""

    identity: TaskIdentity
    index: int
    redaction: Redaction
    _kept: deque[LogLine] = field(default_factory=lambda: deque(maxlen=MAX_KEPT_LINES))
    _seq: int = 0

    def take(self, step: str, level: str, text: str) -> tuple[LogLine, ...]:
        """Keep the text, line by line, secrets masked; return its lines."""
        # Masked whole: a secret may reach over a line's end, or over where a line is cut.
        lines = self.redaction.text(text).splitlines()[:MAX_LINES_AT_ONCE]
        made = tuple(self._line(step, level, line) for line in lines if line.strip())
        self._kept.extend(made)
        return made

    def newest(self, count: int) -> tuple[LogLine, ...]:
        """Return the last lines, oldest first."""
        return tuple(self._kept)[-count:] if count else ()

    def _line(self, step: str, level: str, line: str) -> LogLine:
        self._seq += 1
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return LogLine(
            task_id=self.identity.task_id,
            run_key=self.identity.run_key,
            index=self.index,
            seq=self._seq,
            ts=moment,
            step=step,
            level=level,
            line=clean(line)[:MAX_LINE_CHARACTERS],
        )


def told(event: DoorEvent) -> tuple[str, str, str]:
    """Return step, level and text of what the agent says."""
    if event.type == LOG:
        return str(event.step), "info", event.message
    return str(event.step), _LEVELS.get(event.type, "info"), "".join(_words(event))


def _words(event: DoorEvent) -> Iterator[str]:
    yield event.type
    if event.message:
        yield f": {event.message}"
    if event.data:
        yield " " + " ".join(f"{key}={value}" for key, value in sorted(event.data.items()))
