"""From a server's answer to a Reply: the ladder of tool call formats.

Native calls first, then what models write when the server's tool parser is missing
or has given up. What was cut off is never executed, and nothing is ever taken from
the reasoning. What cannot be read becomes a problem that the model is told.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Sequence

from agenttask_agent.messages import Message, Reply, ToolCall
from agenttask_agent.sanitise import storable

TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
"""Small models leave out the closing tag; what was cut off is not looked at."""
OPEN_TAG = re.compile(r"<tool_call>|<function=")
XML_CALL = re.compile(r"<function=([\w.-]+)>(.*?)</function>", re.DOTALL)
XML_PARAMETER = re.compile(r"<parameter=(\w+)>\n?(.*?)\n?</parameter>", re.DOTALL)
FENCED = re.compile(r"```(?:json|tool_call|tool)?\s*\n(\{.*?\}|\[.*?\])\s*```", re.DOTALL)
MAX_SEARCHED = 100_000
"""Characters of a reply in which calls are looked for."""
NAME_KEY = re.compile(r"""["']name["']""")
TRAILING_COMMA = re.compile(r",(\s*[}\]])")
UNFINISHED = frozenset({"length", "repetition"})
"""How a reply ends that was not the model's to end: at its limit, or repeating itself."""
CUT_OFF = (
    "your reply was cut off at the token limit, so its tool call was not executed;"
    " make a smaller call"
)
CUT_OFF_PLAN = "the reply was cut off at the token limit; make a shorter plan"
UNREADABLE = (
    "your reply looks like a tool call but cannot be read; use the tool calling format,"
    ' arguments as one JSON object, for example {"path": "README.md"}'
)
NOT_AN_OBJECT = 'the arguments are not one JSON object, for example {"path": "README.md"}'


def parse_reply(body: Message, names: Sequence[str]) -> Reply:
    """Return the first choice as a Reply; never raises, whatever the body holds."""
    choices = body.get("choices")
    choice = _dict(choices[0]) if isinstance(choices, list) and choices else {}
    message = _dict(choice.get("message"))
    cut = _text(choice.get("finish_reason")) in UNFINISHED
    content = _text(message.get("content"))
    calls = tuple(_native(message.get("tool_calls"), names, cut))
    problem = ""
    if not calls:
        calls, content, problem = _from_content(content[:MAX_SEARCHED], names, cut)
    usage = _dict(body.get("usage"))
    return Reply(
        content=content,
        reasoning=_text(message.get("reasoning") or message.get("reasoning_content")),
        calls=calls,
        problem=problem,
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cut=cut,
    )


def parse_object(text: str) -> dict[str, object] | None:
    """Return the JSON object in the text, repaired if need be; None when there is none."""
    text = text.strip()
    if text in ("", "null", "None"):
        return {}
    fence = FENCED.search(text)
    for candidate in (text, fence.group(1) if fence else "", TRAILING_COMMA.sub(r"\1", text)):
        value = _load(candidate)
        if isinstance(value, str):
            value = _load(value)
        if isinstance(value, dict):
            return _dict(storable({str(key): item for key, item in value.items()}))
    return None


def find_object(text: str) -> dict[str, object] | None:
    """Return the text's object, or else the first one that stands among prose."""
    found = parse_object(text)
    if found or "{" not in text:
        return found
    value = _leading_object(text[text.find("{") :])
    return _dict(storable(value)) if isinstance(value, dict) else None


def repair_name(name: str, names: Sequence[str]) -> str:
    """Return the offered name that is meant, or the name unchanged when none is near."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().casefold()).strip("_")
    if plain in names:
        return plain
    starts = [known for known in names if known.startswith(plain)] if len(plain) > 3 else []
    endings = [known for known in names if known.endswith(f"_{plain}")]
    near = [known for known in names if _distance_at_most_two(plain, known)]
    for found in (starts, endings, near):
        if len(found) == 1:
            return found[0]
    return name


def _native(value: object, names: Sequence[str], cut: bool) -> Iterator[ToolCall]:
    for index, item in enumerate(value if isinstance(value, list) else []):
        entry = _dict(item)
        function = _dict(entry.get("function"))
        name = repair_name(_text(function.get("name")), names)
        identity = _text(entry.get("id")) or _invented_id(index, name)
        raw = function.get("arguments")
        arguments = _dict(storable(raw)) if isinstance(raw, dict) else parse_object(_text(raw))
        problem = CUT_OFF if cut else "" if arguments is not None else NOT_AN_OBJECT
        yield ToolCall(identity, name, arguments or {}, problem)


def _from_content(
    content: str, names: Sequence[str], cut: bool
) -> tuple[tuple[ToolCall, ...], str, str]:
    """Return calls found in the text, the text without them, and a problem."""
    if cut and (OPEN_TAG.search(content) or _is_bare_call(content)):
        return (), content, CUT_OFF
    calls = tuple(_calls_in(content, names))
    if calls:
        return calls, _without_calls(content), ""
    garbled = bool(OPEN_TAG.search(content)) or _is_bare_call(content)
    return (), content, UNREADABLE if garbled else ""


def _calls_in(content: str, names: Sequence[str]) -> Iterator[ToolCall]:
    found = [pair for text in _candidates(content) for pair in _call_objects(text)]
    found += [_xml_call(match) for match in XML_CALL.finditer(content)]
    for index, (name, arguments) in enumerate(found):
        known = repair_name(name, names)
        if known in names:
            yield ToolCall(_invented_id(index, known), known, arguments)


def _candidates(content: str) -> list[str]:
    tagged = TAGGED.findall(content)
    if tagged:
        return list(tagged)
    fenced = FENCED.findall(content)
    return list(fenced) or [content[content.find("{") :]] if "{" in content else []


def _call_objects(text: str) -> Iterator[tuple[str, dict[str, object]]]:
    value = _load(text)
    if value is None:
        value = _load(TRAILING_COMMA.sub(r"\1", text)) or _leading_object(text)
    for item in value if isinstance(value, list) else [value]:
        entry = _dict(item)
        entry = _dict(entry.get("function")) or entry
        name = entry.get("name") or entry.get("tool")
        raw = entry.get("arguments", entry.get("parameters"))
        arguments = _dict(storable(raw)) if isinstance(raw, dict) else parse_object(_text(raw))
        if isinstance(name, str) and arguments is not None:
            yield _text(name), arguments


def _xml_call(match: re.Match[str]) -> tuple[str, dict[str, object]]:
    pairs = XML_PARAMETER.findall(match.group(2))
    return match.group(1), {key: _scalar(value) for key, value in pairs}


def _without_calls(content: str) -> str:
    for pattern in (TAGGED, XML_CALL, FENCED):
        content = pattern.sub("", content)
    return "" if _is_bare_call(content) else content.strip()


def _is_bare_call(content: str) -> bool:
    start = content.lstrip()[:400]
    return start.startswith(("{", "```json", "```tool")) and bool(NAME_KEY.search(start))


def _leading_object(text: str) -> object:
    try:
        return json.JSONDecoder().raw_decode(text.strip())[0]
    except (ValueError, RecursionError):
        return None


def _load(text: str) -> object:
    """Return the JSON or Python literal, None when it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > 100_000:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _scalar(text: str) -> object:
    """Return numbers and booleans as such; everything else stays the text it is."""
    return _load(text) if re.fullmatch(r"-?\d{1,15}|true|false", text) else text


def _invented_id(index: int, name: str) -> str:
    return f"call-{index}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def _distance_at_most_two(a: str, b: str) -> bool:
    """Say whether two edits make one name of the other (Levenshtein)."""
    if abs(len(a) - len(b)) > 2:
        return False
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1] <= 2


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return str(storable(value)) if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
