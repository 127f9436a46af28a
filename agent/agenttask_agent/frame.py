"""The frame around what files, programs and servers say: a text cannot end its own.

Its tag is drawn for each run, so nobody can write it beforehand; where a text holds it all
the same (programs may read the transcript), it is taken out there.
"""

import re
import secrets
from dataclasses import dataclass, field

from agenttask_agent import prompts

TAG_BYTES = 4
LEFT_OUT = "(tag)"


def _drawn() -> str:
    return f"data-{secrets.token_hex(TAG_BYTES)}"


@dataclass(frozen=True)
class Frame:
    """One run's frame."""

    tag: str = field(default_factory=_drawn)

    def around(self, text: str) -> str:
        """Return the text between the tags, in which it cannot stand itself in any case."""
        inner = re.sub(re.escape(self.tag), LEFT_OUT, text, flags=re.IGNORECASE)
        return f"<{self.tag}>\n{inner}\n</{self.tag}>"

    def note(self) -> str:
        """Return what the model is told of the frame."""
        return prompts.fill("data", tag=self.tag)
