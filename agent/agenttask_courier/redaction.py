"""Takes secrets out of what leaves the pod while a run lasts: progress and log lines.

The agent holds none, but a model, a git server or a database may have told it one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agenttask_api.masking import HIDDEN, Mask
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.credentials import MIN_SECRET_CHARACTERS, known_secrets
from agenttask_courier.places import Places
from agenttask_courier.secretscan import tokens


@dataclass(frozen=True)
class Redaction:
    """Hides the run's own secrets in all their forms, and tokens known by theirs."""

    mask: Mask

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for _, token in tokens(text.encode("utf-8", "replace")):
            text = text.replace(token.decode("utf-8", "replace"), HIDDEN)
        return self.mask.text(text)

    def values(self, data: Mapping[str, object]) -> dict[str, object]:
        """Return the JSON object without the run's own secrets, keys included."""
        hidden = self.mask.value(data)
        assert isinstance(hidden, dict)
        return hidden


def make_redaction(places: Places, document: TaskDocument, more: tuple[str, ...] = ()) -> Redaction:
    """Return the redaction of one run, from the Secrets that are mounted now."""
    return Redaction(Mask((*known_secrets(places, document), *more), MIN_SECRET_CHARACTERS))
