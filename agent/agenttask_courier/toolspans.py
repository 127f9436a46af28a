"""The spans of the agent's tools, in the words of OpenTelemetry's conventions.

What it says of them is its own account: names by their form, times within the attempt's,
and no more of them than the task may have.
"""

import re
from dataclasses import dataclass

from pydantic import ValidationError

from agenttask_api.door import DoorEvent, ToolCall
from agenttask_courier.tracing import Spans, Times

_OPERATION = re.compile(r"[a-z]{1,20}\.[a-z_]{1,40}")
UNKNOWN = "unknown"


@dataclass
class ToolSpans:
    """Those of one attempt."""

    spans: Spans
    left: int
    """How many more may be told."""

    def tell(self, event: DoorEvent) -> None:
        """Tell one call; what is none, or too many, is forgotten."""
        try:
            call = ToolCall.model_validate(event.data, strict=True)
        except ValidationError:
            return
        if self.left <= 0:
            return
        self.left -= 1
        name = call.operation if _OPERATION.fullmatch(call.operation) else UNKNOWN
        about = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
        }
        error = "" if call.success else "denied" if call.denied else "failed"
        self.spans.tell(f"execute_tool {name}", Times(call.began_ns, call.ended_ns), about, error)
