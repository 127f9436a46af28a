"""`finish`: how the model says that it is done, in two steps.

It belongs to the loop, not to the catalogue: the first call shows what was really
changed and what to check, only the second, in a later reply, ends the run.
"""

import copy
from dataclasses import dataclass
from typing import Any

from agenttask_agent.messages import ToolCall
from agenttask_agent.results import ToolResult

NAME = "finish"
MAX_SUMMARY = 2000
SCHEMA: dict[str, Any] = {
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
                },
                "confidence": {
                    "type": "number",
                    "description": "How sure you are that the task is done: 0 to 1.",
                    "minimum": 0,
                    "maximum": 1,
                },
            },
            "required": ["summary"],
            "additionalProperties": False,
        },
    },
}


CLAIMS = ("met", "unmet", "unknown")


def schema(requirements: int) -> dict[str, object]:
    """Return the tool; with requirements it asks of each whether it is met."""
    if not requirements:
        return SCHEMA
    number = {"type": "integer", "minimum": 1, "maximum": requirements}
    claim = {
        "type": "object",
        "properties": {"number": number, "claim": {"enum": list(CLAIMS)}},
        "required": ["number", "claim"],
        "additionalProperties": False,
    }
    tool = copy.deepcopy(SCHEMA)
    parameters = tool["function"]["parameters"]
    parameters["properties"]["requirements"] = {
        "type": "array",
        "description": "Of each requirement by its number: met, unmet or unknown.",
        "items": claim,
        "maxItems": requirements,
    }
    parameters["required"].append("requirements")
    return tool


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


def claims_of(call: ToolCall) -> dict[int, str]:
    """Return what the model says of the requirements; what cannot be read is left out."""
    given = call.arguments.get("requirements")
    entries = [e for e in given if isinstance(e, dict)] if isinstance(given, list) else []
    return {
        int(entry["number"]): str(entry["claim"])
        for entry in entries
        if entry.get("claim") in CLAIMS and str(entry.get("number")).isdecimal()
    }


def confidence_of(call: ToolCall) -> float | None:
    """Return how sure the model says it is, 0 to 1; None when it does not say so."""
    given = call.arguments.get("confidence")
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        value = float(given)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
