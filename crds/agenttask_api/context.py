"""Cuts a task's context to its size, the same way on the cluster and without one."""

from collections.abc import Sequence
from dataclasses import dataclass

CHARACTERS_PER_TOKEN = 4
"""Of English prose and code with today's tokenizers, near enough for a bound."""


def trim_context(text: str, tokens: int) -> str:
    """Return at most about `tokens` tokens of the text, cut after a line and saying so.

    The beginning is kept: what a person writes first matters most. 0 keeps nothing.
    """
    most = tokens * CHARACTERS_PER_TOKEN
    if len(text) <= most or not text:
        return text
    kept = text[:most]
    end = kept.rfind("\n")
    kept = kept[: end + 1] if end > most // 2 else kept
    note = f"[context cut at spec.contextTokens: {len(kept)} of {len(text)} characters]"
    return f"{kept.rstrip()}\n{note}" if kept.strip() else note


@dataclass(frozen=True)
class ContextPart:
    """One source of context: what it is called, and its text."""

    source: str
    text: str


def compose_context(inline: str, parts: Sequence[ContextPart], tokens: int) -> str:
    """Return spec.context and the parts in about `tokens` tokens together, each under its name.

    The task's own words come first and whole if they fit; each part then gets an equal share
    of what is left, and what it does not need goes to those after it. Without parts this is
    `trim_context`. The same input always gives the same text.
    """
    if not parts:
        return trim_context(inline, tokens)
    texts = [trim_context(inline, tokens)] if inline else []
    left = tokens - _tokens("".join(texts))
    for number, part in enumerate(parts):
        title = f"## {part.source}\n\n"
        share = max(0, left) // (len(parts) - number) - _tokens(title)
        texts.append(title + trim_context(part.text, max(0, share)))
        left -= _tokens(texts[-1])
    return "\n\n".join(texts)


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)
