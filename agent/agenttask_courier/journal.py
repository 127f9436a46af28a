"""The log: one JSON line per event on stdout, without secrets and prompt text.

Values may come from hostile places, so control characters never reach a terminal.
"""

import json
import math
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
_ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)")
MAX_VALUE_CHARACTERS = 2000
SELDOM_SECONDS = 60.0


def clean(text: str) -> str:
    """Return the text without escape sequences, control and direction characters."""
    return _CONTROL.sub("", _ANSI.sub("", text))


def now() -> str:
    """Return the time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def log(event: str, **values: object) -> None:
    """Write one line; text values are cleaned and cut."""
    ts = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line: dict[str, object] = {"ts": ts, "event": event}
    for key, value in values.items():
        line[key] = _printable(value)
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()


@dataclass
class Seldom:
    """Logs a trouble at once, and while it comes again and again once a minute, with a count."""

    clock: Callable[[], float] = time.monotonic
    _said: dict[str, tuple[float, int]] = field(default_factory=dict)
    """When each kind of trouble was logged, and how often it came since then."""

    def log(self, event: str, error: Exception) -> None:
        """Write a line for the error, unless one of its kind was written within the minute."""
        kind = f"{event} {type(error).__name__}"
        at, unsaid = self._said.get(kind, (-math.inf, 0))
        if self.clock() - at < SELDOM_SECONDS:
            self._said[kind] = at, unsaid + 1
            return
        log(event, error=f"{type(error).__name__}: {error}", unsaid=unsaid)
        self._said[kind] = self.clock(), 0


def _printable(value: object) -> object:
    return clean(value)[:MAX_VALUE_CHARACTERS] if isinstance(value, str) else value
