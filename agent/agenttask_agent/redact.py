"""Hides known secret values before text reaches the model, the audit or a log.

The agent container holds no credential on purpose; this is for what a user put
into plain `env` values or a local shell all the same.
"""

import re
from collections.abc import Iterable, Mapping

from agenttask_api.masking import Mask

MIN_LENGTH = 8
"""Shorter values would hide ordinary words."""
SECRET_NAME = re.compile(r"(?i)(token|secret|passw(or)?d|api_?key|private_?key|credential)")


def secret_values(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables whose names say that they are secret."""
    return tuple(value for name, value in env.items() if SECRET_NAME.search(name) and value)


class Redactor(Mask):
    """Hides the given values in all their forms."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        super().__init__(values, MIN_LENGTH)
