"""Hides a connection's credentials in everything that leaves this package."""

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote

from pydantic import JsonValue

HIDDEN = "<secret-hidden>"
MIN_CHARACTERS = 4
"""Shorter values would tear ordinary words apart."""


class Mask:
    """Replaces the given values, also in their URL-quoted, base64 and hexadecimal forms."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values if len(value) >= MIN_CHARACTERS for form in _forms(value)}
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return the text without any of the values."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def value(self, value: JsonValue) -> JsonValue:
        """Return the JSON value without any of the values, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        return value


def _forms(value: str) -> set[str]:
    raw = value.encode("utf-8", "surrogateescape")
    encoded = base64.b64encode(raw).decode()
    return {value, quote(value, safe=""), encoded, encoded.rstrip("="), raw.hex()}
