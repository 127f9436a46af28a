"""Finds known secret values in what is about to leave the machine.

The redactor hides them from the model and the audit; a request is different, once
sent it cannot be taken back. So it is searched for every encoding that a program
would undo without thinking, and refused, not cleaned.
"""

from collections.abc import Iterable, Iterator
from urllib.parse import unquote_plus

from agenttask_agent.redact import MIN_LENGTH
from agenttask_api.masking import forms

UNQUOTING_ROUNDS = 3


class SecretScan:
    """Searches texts for the given values, plain and encoded."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = [value for value in values if len(value) >= MIN_LENGTH]
        self._forms = frozenset(
            form.lower() for value in known for form in (*forms(value), value[::-1])
        )

    def finds(self, *texts: str) -> bool:
        """Say whether a known value is in one of the texts, in upper or lower case."""
        if not self._forms:
            return False
        return any(
            form in layer for text in texts for layer in _layers(text) for form in self._forms
        )


def _layers(text: str) -> Iterator[str]:
    """Yield the text and what is left when quoting is undone, once and again."""
    for _ in range(UNQUOTING_ROUNDS + 1):
        yield text.lower()
        plain = unquote_plus(text)
        if plain == text:
            return
        text = plain
