"""Makes text from files and programs safe to show to a model.

Chat templates give some strings a meaning of their own; inside a tool result they
could end the result and speak with another voice. Control, bidirectional and
zero-width characters hide text from people. Both stay visible, without effect.
"""

import re

from agenttask_api.masking import MAX_DEPTH, TOO_DEEP

ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
SPECIAL = re.compile(
    r"<(/?)(\|[A-Za-z0-9_ .:-]{1,40}\||(?:tool_call|tool_response|tools|think|function"
    r"|parameter|start_of_turn|end_of_turn|s)(?=[>=\s/])|[｜][^<>\n]{1,40}[｜])"
)
SURROGATE = re.compile("[\ud800-\udfff]")
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def neutralise(text: str) -> str:
    """Return the text with template tokens broken up and invisible characters shown."""
    text = INVISIBLE.sub(lambda match: _escape(match.group()), text.replace("\r\n", "\n"))
    return SPECIAL.sub(lambda match: f"‹{match.group(1)}{match.group(2)}", text)


def plain_terminal(output: bytes) -> str:
    """Return a program's output as text: no colours, progress bars at their last state."""
    text = ANSI.sub("", output.decode("utf-8", "replace").replace("\r\n", "\n"))
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def storable(value: object, depth: int = MAX_DEPTH) -> object:
    """Return the JSON value with what UTF-8 cannot store (lone surrogates) replaced.

    What is nested too deeply is left out: to walk it would end the program.
    """
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict | list) and depth == 0:
        return TOO_DEEP
    if isinstance(value, dict):
        return {str(storable(k, depth - 1)): storable(v, depth - 1) for k, v in value.items()}
    if isinstance(value, list):
        return [storable(item, depth - 1) for item in value]
    return value


def cap(text: str, limit: int, head_share: float = 0.6) -> tuple[str, bool]:
    """Return at most `limit` characters, head and tail kept, and whether it was cut."""
    if len(text) <= limit:
        return text, False
    head = int(limit * head_share)
    tail = max(0, limit - head)
    left_out = len(text) - head - tail
    ending = text[len(text) - tail :] if tail else ""
    return f"{text[:head]}\n[... {left_out} characters left out ...]\n{ending}", True


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
