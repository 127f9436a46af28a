"""What each test has really asked of the operations, and how that ended."""

import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from agenttask_agent.results import ToolResult
from agenttask_agent.tools.toolbox import Toolbox

OK, NOT_OK = "ok", "not ok"
Seen = tuple[str, str]
"""An operation and an outcome."""

SEEN: dict[str, set[Seen]] = defaultdict(set)
"""By the id of the test."""


class WitnessedToolbox(Toolbox):
    """Notes every call for the test that is running."""

    def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        result = super().call(name, arguments)
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        SEEN[test].add((result.operation, OK if result.ok else NOT_OK))
        return result


def unmet(
    test: str, wanted: Mapping[str, set[Seen]], seen: Mapping[str, set[Seen]] = SEEN
) -> set[Seen]:
    """Return the operations and outcomes that a test stands for and has not shown.

    A test that is named without its parameters stands for all of them.
    """
    asked = wanted.get(test, set()) | wanted.get(test.partition("[")[0], set())
    return asked - seen.get(test, set())
