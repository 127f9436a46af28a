r"""Placeholders in scripted arguments, filled with what the agent has really read.

`${last.output}`: the newest tool result. `${tool.NAME.output}`: the newest result of
that tool, `${tool.NAME#2.output}` its second. `.text` in place of `.output` includes
the status line; the frame around what was said is left out. `|/REGEX/` takes the first
group, or the whole match; a slash inside is written `\/`. `$${` is a plain `${`. Nothing
else is evaluated.
"""

import re
from collections.abc import Sequence

PLACEHOLDER = re.compile(
    r"\$\$\{|\$\{(?P<source>last|tool\.(?P<tool>[A-Za-z0-9_]+)(?:#(?P<number>\d+))?)"
    r"\.(?P<part>output|text)(?:\|/(?P<regex>(?:\\.|[^/\\])*)/)?\}"
)

FRAMED = re.compile(r"<(data-[0-9a-f]+)>\n(.*)\n</\1>", re.DOTALL)


class Unfilled(ValueError):
    """The conversation does not hold what a placeholder asks for."""


def fill(value: object, messages: Sequence[dict[str, object]]) -> object:
    """Return the JSON value with all placeholders in its strings filled."""
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: _filled(found, messages), value)
    if isinstance(value, dict):
        return {key: fill(item, messages) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill(item, messages) for item in value]
    return value


def _filled(found: re.Match[str], messages: Sequence[dict[str, object]]) -> str:
    if found.group() == "$${":
        return "${"
    text = _result(found, messages)
    if found["part"] == "output":
        text = text.partition("\n")[2]
    if found["regex"] is None:
        return text
    captured = re.search(found["regex"].replace("\\/", "/"), text)
    if captured is None:
        raise Unfilled(f"{found.group()} matches nothing in: {text[:300]!r}")
    return (captured.group(1) if captured.re.groups else captured.group()) or ""


def _result(found: re.Match[str], messages: Sequence[dict[str, object]]) -> str:
    results = [m for m in messages if m.get("role") == "tool"]
    if found["tool"]:
        ids = _ids_of(found["tool"], messages)
        results = [m for m in results if m.get("tool_call_id") in ids]
    position = int(found["number"]) - 1 if found["number"] else len(results) - 1
    if not 0 <= position < len(results):
        raise Unfilled(f"{found.group()}: the conversation holds {len(results)} such results")
    return FRAMED.sub(lambda frame: frame[2], str(results[position].get("content") or ""))


def _ids_of(tool: str, messages: Sequence[dict[str, object]]) -> set[object]:
    ids: set[object] = set()
    for message in messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if call.get("function", {}).get("name") == tool:
                ids.add(call.get("id"))
    return ids
