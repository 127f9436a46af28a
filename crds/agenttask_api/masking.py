"""Every form in which a secret value must not be seen, and texts without them.

One list for all halves: what hides secrets from a model, an audit or a log, and what
looks for them before something leaves.
"""

import base64
import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

HIDDEN = "<secret-hidden>"
MAX_DEPTH = 100
"""Levels of a JSON value; Python itself gives up at a few hundred."""
TOO_DEEP = "(nested too deeply)"
SHORTEST_PART = 8
"""Shorter parts of a base64 text would be found in ordinary words."""
URL_SAFE = str.maketrans("+/", "-_")


class Mask:
    """Replaces the given values in all their forms."""

    def __init__(self, values: Iterable[str], shortest: int) -> None:
        """Values of less than `shortest` characters are left: they would tear words apart."""
        known = [value for value in values if len(value) >= shortest]
        ordered = sorted({form for value in known for form in forms(value)}, key=len, reverse=True)
        self.longest = len(ordered[0]) if ordered else 0
        """Characters of the longest form, 0 when there is nothing to hide."""
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return the text without any of the values."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def value(self, value: object, depth: int = MAX_DEPTH) -> object:
        """Return the JSON value without any of the values, keys included.

        What is nested too deeply is left out: to walk it would end the program.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping | list | tuple) and depth == 0:
            return TOO_DEEP
        if isinstance(value, Mapping):
            return {self.text(str(k)): self.value(v, depth - 1) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, depth - 1) for item in value]
        return value

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where values begin and end."""
        if self._pattern:
            yield from (match.span() for match in self._pattern.finditer(text))


class MaskedStream:
    """Masks bytes that come in pieces; a value that lies across two is found too."""

    def __init__(self, mask: Mask, write: Callable[[bytes], None]) -> None:
        self._mask, self._write = mask, write
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        self._take(self._decode(chunk), max(0, self._mask.longest - 1))

    def close(self) -> None:
        """Write what was held back."""
        self._take(self._decode(b"", True), 0)

    def _take(self, text: str, hold: int) -> None:
        """Write all but the last `hold` characters, which may be a value's beginning."""
        text = self._rest + text
        cut, done, shown = len(text) - hold, 0, []
        for begin, end in self._mask.found(text):
            if begin >= cut:
                break
            shown += [text[done:begin], HIDDEN]
            done = end
        cut = max(done, cut)
        self._rest = text[cut:]
        self._write("".join([*shown, text[done:cut]]).encode("utf-8", "replace"))


def forms(value: str) -> Iterator[str]:
    """Yield the value and what common encodings make of it."""
    raw = value.encode("utf-8", "surrogatepass")
    yield value
    for quoted in (quote(raw, safe=""), quote_plus(raw)):
        yield from (quoted, re.sub("%..", lambda escape: escape[0].lower(), quoted))
    yield from (raw.hex(), raw.hex().upper())
    for ensure_ascii in (True, False):
        yield json.dumps(value, ensure_ascii=ensure_ascii)[1:-1]
    for encoded in (base64.b64encode(raw).decode(), *_base64_inside(raw)):
        for spelling in (encoded, encoded.translate(URL_SAFE)):
            yield from (spelling, spelling.rstrip("="), quote(spelling, safe=""))


def _base64_inside(raw: bytes) -> Iterator[str]:
    """Yield what base64 makes of the value at each of the three positions it can have.

    Characters at the edges depend on the neighbours, so they are left out: the value
    is found in `user:value` too, which is how Basic authentication sends it.
    """
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        part = encoded[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        if len(part) >= SHORTEST_PART:
            yield part
