"""What of a call's arguments the audit does not keep: values that go by a secret's name.

Known secret values are hidden everywhere (`redact`) and never sent (`http_secrets`).
This is for the others: a model may send a credential that it got by itself, and neither
header, query, body nor a container's environment may carry it into the audit.
"""

import json
import re
from collections.abc import Mapping
from urllib.parse import unquote_plus

HIDDEN = "(hidden)"
_NAME = re.compile(
    r"auth(?!or)|cookie|credential|passw|pwd|secret|session|signature|^sig$|token"
    r"|(^|[-_. ]|api|access|private)keys?($|[-_. ])",
    re.IGNORECASE,
)
_USER = re.compile(r"(?<=//)[^/?#\s]*@")
_QUERY = ("url",)
_BODY = ("data",)


def is_secret_name(name: str) -> bool:
    """Say whether a header, a field or a variable of this name may hold a credential."""
    return bool(_NAME.search(name))


def hidden(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return a call's arguments without the values of secret names, at any depth."""
    return {name: _argument(name, value) for name, value in arguments.items()}


def _argument(name: str, value: object) -> object:
    if isinstance(value, str) and name in _QUERY:
        return _url(value)
    if isinstance(value, str) and name in _BODY:
        return _body(value)
    return _inside(value)


def _inside(value: object) -> object:
    if isinstance(value, Mapping):
        return {k: HIDDEN if v and is_secret_name(str(k)) else _inside(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_inside(item) for item in value]
    return value


def _url(text: str) -> str:
    head, mark, rest = _USER.sub(f"{HIDDEN}@", text).partition("?")
    query, end, fragment = rest.partition("#")
    return f"{head}{mark}{_pairs(query)}{end}{fragment}"


def _body(text: str) -> str:
    """Return a body without secrets: JSON or a form; other text says no names."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _pairs(text)
    return json.dumps(_inside(document)) if isinstance(document, dict | list) else text


def _pairs(text: str) -> str:
    return "&".join(_pair(pair) for pair in text.split("&"))


def _pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    secret = equals and len(name) <= 200 and is_secret_name(unquote_plus(name))
    return f"{name}={HIDDEN}" if secret else pair
