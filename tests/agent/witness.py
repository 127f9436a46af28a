"""What each test has really asked of the operations, and how that ended."""

import os
from collections import defaultdict
from typing import Any

from agenttask_agent.results import ToolResult
from agenttask_agent.tools.toolbox import Toolbox

OK, NOT_OK = "ok", "not ok"

SEEN: dict[str, set[tuple[str, str]]] = defaultdict(set)
"""By the id of the test: pairs of an operation and an outcome."""


class WitnessedToolbox(Toolbox):
    """Notes every call for the test that is running."""

    def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        result = super().call(name, arguments)
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        SEEN[test].add((result.operation, OK if result.ok else NOT_OK))
        return result
