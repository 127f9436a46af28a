"""Finds the place of an edit: exactly, else by lines, else at another indentation.

Pure. Each way is tried only when the stricter one found nothing, and a place is
used only when it is as unique as the caller expects: a guess is never applied.
"""

from dataclasses import dataclass

from agenttask_agent.tools.refusal import ToolError

SHOWN_LINES = 5
MAX_COMPARED_LINES = 20_000
Place = tuple[int, int, str]
"""Start and end of a place in the text, and what it becomes."""


@dataclass(frozen=True)
class Edit:
    """The new text, how many places changed, and how they were found."""

    text: str
    count: int
    matching: str


def edit(text: str, search: str, replace: str, expected: int) -> Edit:
    """Return the text with `search` replaced in exactly `expected` places.

    Raises ToolError with the nearest lines when there is no place, and with the
    line numbers when there are more or fewer than expected.
    """
    for matching, find in (("exact", _exact), ("lines", _trimmed), ("indentation", _indented)):
        places = find(text, search, replace)
        if len(places) == expected:
            return Edit(_apply(text, places), len(places), matching)
        if places:
            raise ToolError(_wrong_count(text, places, expected))
    raise ToolError(_missed(text, search))


def _exact(text: str, search: str, replace: str) -> list[Place]:
    places = []
    start = text.find(search)
    while start >= 0:
        places.append((start, start + len(search), replace))
        start = text.find(search, start + len(search))
    return places


def _trimmed(text: str, search: str, replace: str) -> list[Place]:
    """Match whole lines that differ only in spaces at their ends."""
    wanted = [line.rstrip() for line in _lines(search)]
    return [
        (start, end, _lines_as(replace, text[start:end], "", ""))
        for start, end, block in _windows(text, len(wanted))
        if block == wanted
    ]


def _indented(text: str, search: str, replace: str) -> list[Place]:
    """Match whole lines whose indentation differs by the same amount everywhere."""
    wanted = [line.rstrip() for line in _lines(search)]
    margin = _margin(wanted)
    plain = _without(wanted, margin)
    return [
        (start, end, _lines_as(replace, text[start:end], margin, _margin(block)))
        for start, end, block in _windows(text, len(wanted))
        if _without(block, _margin(block)) == plain
    ]


def _windows(text: str, size: int) -> list[tuple[int, int, list[str]]]:
    """Return every run of `size` lines: start, end, lines without trailing spaces.

    Runs do not overlap with a match before them; the callers filter, so overlapping
    matches show up as too many places, which is the safe answer.
    """
    lines = text.splitlines(keepends=True)
    if not size or len(lines) > MAX_COMPARED_LINES:
        return []
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    plain = [line.rstrip() for line in lines]
    last = len(lines) - size
    return [(starts[i], starts[i + size], plain[i : i + size]) for i in range(last + 1)]


def _lines_as(replace: str, old: str, margin: str, new_margin: str) -> str:
    """Return the replacement as whole lines, moved from one margin to another."""
    lines = [
        (new_margin + line.removeprefix(margin) if line.strip() else line)
        for line in _lines(replace)
    ]
    ending = "\n" if lines and old.endswith("\n") else ""
    return "\n".join(lines) + ending


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text.strip() else []


def _margin(lines: list[str]) -> str:
    first = next((line for line in lines if line), "")
    return first[: len(first) - len(first.lstrip())]


def _without(lines: list[str], margin: str) -> list[str] | None:
    """Return the lines without the margin; None when one of them does not have it."""
    if any(line and not line.startswith(margin) for line in lines):
        return None
    return [line.removeprefix(margin) for line in lines]


def _apply(text: str, places: list[Place]) -> str:
    for start, end, new in reversed(places):
        text = text[:start] + new + text[end:]
    return text


def _wrong_count(text: str, places: list[Place], expected: int) -> str:
    numbers = [str(text.count("\n", 0, start) + 1) for start, _, _ in places[:20]]
    return (
        f"the search text is there {len(places)} times, at lines {', '.join(numbers)}, and"
        f" not {expected}; make it longer until it is unique, or set expected_count"
    )


def _missed(text: str, search: str) -> str:
    lines = text.splitlines()[:MAX_COMPARED_LINES]
    wanted = next((line.strip() for line in search.splitlines() if line.strip()), "")
    near = sorted(range(len(lines)), key=lambda i: -_likeness(lines[i].strip(), wanted))
    shown = [f"{i + 1}: {lines[i][:200]}" for i in sorted(near[:SHOWN_LINES])]
    return "the search text is not in the file. The nearest lines are:\n" + "\n".join(shown)


def _likeness(line: str, wanted: str) -> float:
    if not line or not wanted:
        return 0.0
    import difflib  # Here: only a text that is not there needs it.

    matcher = difflib.SequenceMatcher(None, line[:200], wanted[:200])
    quick = matcher.real_quick_ratio()
    return quick if quick < 0.4 else matcher.ratio()
