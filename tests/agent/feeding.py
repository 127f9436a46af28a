"""How many examples an operation is fed, and how."""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from tests.agent.arguments import Arguments
from tests.agent.surroundings import Surroundings

from agenttask_agent.audit import verify_chain

WANTED = os.environ.get("AGENTTASK_FUZZ_EXAMPLES")
"""`make fuzz` sets many; without it the examples are the same ones in every run."""
EXAMPLES = int(WANTED or 100)
MANY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=WANTED is None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def feed(made: Surroundings, key: str, arguments: Arguments, share: int = 1) -> None:
    """Call an operation with every example, or with one in `share` where they take long.

    The audit's chain must be whole afterwards.
    """
    made.begin_audit()

    @settings(MANY, max_examples=max(1, EXAMPLES // share))
    @given(arguments)
    def check(example: dict[str, Any]) -> None:
        made.call(key, example)

    check()
    assert verify_chain(made.tools.audit.path.read_text().splitlines())
