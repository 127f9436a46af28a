"""Tells a run that goes in circles from one that makes progress.

Only the same call with the same full result counts as a repeat; an edit that does
something new is progress and forgets what came before it.
"""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field

from agenttask_agent.messages import ToolCall
from agenttask_agent.results import ToolResult

NUDGE_AT = 3
STOP_AT = 5
DURATION = re.compile(r"\b\d+\.\d+ ?(s|ms|seconds)\b")
"""Test runners print how long they took; that alone is no progress."""


@dataclass
class LoopGuard:
    """Counts identical calls with identical results."""

    seen: Counter[str] = field(default_factory=Counter)

    def observe(self, call: ToolCall, result: ToolResult) -> int:
        """Return how often this call has had this result, this time included."""
        key = _fingerprint(call, result)
        if result.edited and key not in self.seen:
            self.seen.clear()
        self.seen[key] += 1
        return self.seen[key]


def _fingerprint(call: ToolCall, result: ToolResult) -> str:
    arguments = json.dumps(call.arguments, sort_keys=True)
    text = DURATION.sub("", f"{result.ok}\n{result.error}\n{result.output}")
    return hashlib.sha256(f"{call.name}\n{arguments}\n{text}".encode(errors="replace")).hexdigest()
