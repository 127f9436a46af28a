"""Cuts a task's context to its size, the same way on the cluster and without one."""

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
