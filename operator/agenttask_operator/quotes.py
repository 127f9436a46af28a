"""What the API server says of an object, without what the object holds.

Pure. A refusal may quote the refused manifest: validation quotes values, an admission
policy or a webhook whatever it likes. Its words go to status, Events and NATS, where
prompts and values of variables have no business; the reason stays, the quotation goes.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agenttask_api import names

SHARED_CHARACTERS = 16
"""So long a run in common with a confidential text is a quotation of it, not chance."""
LEAST_CHARACTERS = 6
"""Shorter texts are in every sentence."""
CUT = "…"

_VALUE = re.compile(
    r"((?:Invalid|Unsupported|Duplicate) value): "
    r'(?:"(?:[^"\\]|\\.)*(?:"|$)|[\w.\[\]*&]+\{(?:.*\}|.*$))',
    re.DOTALL,
)


def without_values(message: str, confidential: Iterable[str]) -> str:
    """Return the message without quoted values, and only up to where it quotes one of the texts."""
    shown = _VALUE.sub(rf"\1: {CUT}", message)
    starts = [_start(shown, form) for text in confidential for form in _forms(text)]
    end = min(starts, default=len(shown))
    return shown if end == len(shown) else f"{shown[:end].rstrip()}{CUT}"


def confidential_texts(work: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the free texts of a task's spec, or of its document: nobody else's business."""
    constraints = work.get("constraints") or {}
    texts = [work.get("prompt"), work.get("context"), constraints.get("rubric")]
    texts += constraints.get("requirements") or []
    texts += [variable.get("value") for variable in work.get("env") or []]
    for command in (*(work.get("setup") or []), *(work.get("verify") or [])):
        texts += command.get("run") or []
    return tuple(str(t) for t in texts if t)


def manifest_texts(job: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the free texts of the task document in a Job's manifest.

    They include what the spec only refers to: prompt and context from ConfigMaps and tasks.
    A Job from which an admission webhook took the document has none.
    """
    annotations = job["spec"]["template"]["metadata"].get("annotations") or {}
    return confidential_texts(json.loads(annotations.get(names.TASK_ANNOTATION, "{}")))


def _forms(text: str) -> Iterator[str]:
    """Yield the text as it is, as JSON has it, and as a quoted JSON has it."""
    for _ in range(3):
        yield text
        text = json.dumps(text, ensure_ascii=False)[1:-1]


def _start(message: str, text: str) -> int:
    """Return where the message begins to quote the text; its length = nowhere."""
    size = min(SHARED_CHARACTERS, len(text))
    if size < LEAST_CHARACTERS:
        return len(message)
    runs = {text[at : at + size] for at in range(len(text) - size + 1)}
    places = range(len(message) - size + 1)
    return next((at for at in places if message[at : at + size] in runs), len(message))
