"""`finish`: how the model says that it is done, in two steps.

It belongs to the loop, not to the catalogue: the first call shows what was really
changed and what to check, only the second, in a later reply, ends the run.
"""

from dataclasses import dataclass

from agenttask_agent.messages import ToolCall
from agenttask_agent.results import ToolResult

NAME = "finish"
MAX_SUMMARY = 2000
SCHEMA: dict[str, object] = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "Say that the task is done. The first call shows the change for review;"
        " call it again to end the run.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {
                "summary": {
                    "type": "string",
                    "description": "What was done and why, in a few sentences.",
                    "maxLength": MAX_SUMMARY,
                }
            },
            "required": ["summary"],
            "additionalProperties": False,
        },
    },
}


@dataclass
class Finishing:
    """Whether the change, as it now is, has been shown to the model."""

    reviewed_at: int = 0
    """The reply that first called finish; 0 = none since the last edit."""

    def accepts(self, reply: int) -> bool:
        """Say whether a call in this reply ends the run; else it counts as the first."""
        if self.reviewed_at and reply > self.reviewed_at:
            return True
        self.reviewed_at = self.reviewed_at or reply
        return False

    def after(self, result: ToolResult) -> None:
        """Ask for a new review once something was edited."""
        if result.edited:
            self.reviewed_at = 0


def summary_of(call: ToolCall) -> str:
    """Return the model's summary, however it was typed."""
    return str(call.arguments.get("summary", ""))[:MAX_SUMMARY]
