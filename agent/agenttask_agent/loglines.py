"""The agent's log lines for the courier: head and tail, so that no output is a flood.

The courier cannot read this container's stdout. It masks the lines, keeps the newest and
publishes them while somebody asks.
"""

from agenttask_agent.sanitise import cap
from agenttask_api.door import LOG, DoorEvent

HEAD_LINES, TAIL_LINES = 10, 30
MAX_CHARACTERS = 6000
HEAD_SHARE = 0.25
"""Of the characters; what a program says last tells how it ended."""


def log_event(step: int, text: str) -> DoorEvent:
    """Return a text as an event of log lines, its middle left out where it is long."""
    lines = text.splitlines()
    if len(lines) > HEAD_LINES + TAIL_LINES:
        left_out = len(lines) - HEAD_LINES - TAIL_LINES
        middle = f"[... {left_out} lines left out ...]"
        lines = [*lines[:HEAD_LINES], middle, *lines[-TAIL_LINES:]]
    return DoorEvent(
        step=step, type=LOG, message=cap("\n".join(lines), MAX_CHARACTERS, HEAD_SHARE)[0]
    )
