"""Text for people: clean, short, and ending with what to do.

Messages hold words of others (git servers, kubelets, agents), so control characters
go, and the middle is cut rather than the hint at the end.
"""

import unicodedata

from agenttask_api.digest import Digest
from agenttask_api.reasons import RERUN_HINT, Reason, meaning
from agenttask_api.status import MAX_MESSAGE_CHARACTERS


def clean(text: str) -> str:
    """Return the text on one line, without characters that are not for reading."""
    plain = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in text)
    return " ".join(plain.split())


def hinted(text: str, reason: Reason, rerun: bool = False) -> str:
    """Return the message with the reason's hint, in at most 1024 characters."""
    hint = meaning(reason).hint + (f"; {RERUN_HINT}" if rerun else "")
    words = clean(text)
    if not words:
        return hint
    return f"{shorten(words, MAX_MESSAGE_CHARACTERS - len(hint) - 2)}; {hint}"


def told_success(digest: Digest | None) -> str:
    """Return what a good run achieved, from facts that the courier measured."""
    if not digest or not digest.commit:
        return "nothing had to be changed"
    files = f"{digest.files} file{'s' if digest.files != 1 else ''} changed"
    tests = f"{digest.tests[0]} tests passed" if digest.tests else ""
    pushed = f"pushed to {digest.branch}" if digest.branch else ""
    lines = f"+{digest.insertions} -{digest.deletions}"
    return ", ".join(part for part in (f"{files} ({lines})", tests, pushed) if part)


def recalled_words(message: str) -> str:
    """Return the message of a run's recorded outcome, which says how to run again."""
    words = clean(message).removesuffix(RERUN_HINT).rstrip("; ")
    prefix, hint = "this work has run before", f"; {RERUN_HINT}"
    room = MAX_MESSAGE_CHARACTERS - len(prefix) - len(hint) - 2
    return f"{prefix}{': ' if words else ''}{shorten(words, room)}{hint}"


def shorten(text: str, characters: int) -> str:
    """Return the text, cut visibly when it is longer."""
    return text if len(text) <= characters else text[: max(0, characters - 3)] + "..."


def spell_duration(seconds: float) -> str:
    """Return a duration as Kubernetes shows it, such as `1h2m3s`."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return "".join(parts) + (f"{rest}s" if rest or whole < 60 else "")
