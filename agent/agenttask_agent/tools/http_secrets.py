"""Finds known secret values in what is about to leave the machine.

The redactor hides them from the model and the audit; a request is different, once
sent it cannot be taken back. So it is searched for every encoding that a program
would undo without thinking, and refused, not cleaned.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote_plus

from agenttask_agent.redact import MIN_LENGTH

UNQUOTING_ROUNDS = 3
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
URL_SAFE = str.maketrans("+/", "-_")


class SecretScan:
    """Searches texts for the given values, plain and encoded."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = [value for value in values if len(value) >= MIN_LENGTH]
        self._forms = frozenset(form.lower() for value in known for form in _forms(value))

    def finds(self, *texts: str) -> bool:
        """Say whether a known value is in one of the texts, in upper or lower case."""
        if not self._forms:
            return False
        return any(
            form in layer for text in texts for layer in _layers(text) for form in self._forms
        )


def _layers(text: str) -> Iterator[str]:
    """Yield the text and what is left when quoting and JSON's escapes are undone, repeatedly."""
    for _ in range(UNQUOTING_ROUNDS + 1):
        yield text.lower()
        plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), unquote_plus(text))
        if plain == text:
            return
        text = plain


def _forms(value: str) -> Iterator[str]:
    content = value.encode(errors="surrogatepass")
    yield from (value, quote(content, safe=""), quote_plus(content), content.hex(), value[::-1])
    for ensure_ascii in (True, False):
        yield json.dumps(value, ensure_ascii=ensure_ascii)[1:-1]
    for encoded in _base64_inside(content):
        yield from (encoded, encoded.translate(URL_SAFE))
        yield quote(encoded, safe="")


def _base64_inside(content: bytes) -> Iterator[str]:
    """Yield what base64 makes of the value at each of the three positions it can have.

    Characters at the edges depend on the neighbours, so they are left out: the value
    is found in `user:value` too, which is how Basic authentication sends it.
    """
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + content).decode().rstrip("=")
        start = (before * 8 + 5) // 6
        end = (before + len(content)) * 8 // 6
        yield encoded[start:end]
