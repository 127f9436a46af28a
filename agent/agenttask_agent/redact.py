"""Hides known secret values before text reaches the model, the audit or a log.

The agent container holds no credential on purpose; this is for what a user put
into plain `env` values or a local shell all the same.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

HIDDEN = "<secret-hidden>"
MIN_LENGTH = 8
"""Shorter values would hide ordinary words."""
SECRET_NAME = re.compile(r"(?i)(token|secret|passw(or)?d|api_?key|private_?key|credential)")


def secret_values(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables whose names say that they are secret."""
    return tuple(value for name, value in env.items() if SECRET_NAME.search(name) and value)


class Redactor:
    """Replaces the given values, also in their base64 and URL-quoted forms."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for v in values if len(v) >= MIN_LENGTH for form in _forms(v)}
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return the text without any known secret."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def value(self, value: object) -> object:
        """Return the JSON value without any known secret, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(k)): self.value(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def _forms(value: str) -> tuple[str, ...]:
    encoded = base64.b64encode(value.encode(errors="surrogatepass")).decode()
    quoted = quote(value.encode(errors="surrogatepass"), safe="")
    return tuple({value, encoded, encoded.rstrip("="), quoted})
