"""The ways to make one edit: what the model is asked, and what its answer makes. Pure.

| format | the model writes | good for |
|---|---|---|
| `symbol` | the symbol again, continuing from `def name` in the middle of its file | a change |
| `append` | a new top-level symbol, continuing from the end of the file | an addition |
| `method` | a new method, continuing from the end of its class | an addition |
| `whole` | the complete file in one fence | short files, other languages |
| `create` | the complete new file | a file that is not there |

In the first three the answer's beginning is the file itself (an assistant prefill), so
nothing can be lost and only the new lines are paid for.
"""

import re
from dataclasses import dataclass, replace

from agenttask_agent.small import pysource

FENCE = "```"
STOP_FUNCTION = (FENCE, "\ndef ", "\nclass ", "\n@")
STOP_METHOD = (FENCE, "\n    def ", "\n    @", "\nclass ")
STOP_CLASS = (FENCE, "\ndef ", "\nclass ", "\nif __name__")
"""Where the next symbol begins; the API takes at most four strings."""
LANGUAGES = {"py": "python", "md": "markdown", "yml": "yaml", "js": "javascript", "txt": "text"}
THINKING = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
EDIT = (
    "You edit one file of a project. Reply with the complete new file in one block, nothing else."
)
CREATE = "You write one file of a project. Reply with the complete file in one block, nothing else."


@dataclass(frozen=True)
class Item:
    """One edit to make: how, in which file, of which symbol."""

    format: str
    path: str
    name: str = ""
    signature: str = ""
    """What follows `def` where the task gives it, like `clamp(x, low, high)`."""
    is_class: bool = False


@dataclass(frozen=True)
class Question:
    """A request for code: the messages, the reply's given beginning, where it ends."""

    system: str
    user: str
    prefill: str
    stop: tuple[str, ...]


@dataclass(frozen=True)
class Cut:
    """A file in three parts: before the model's lines, their given beginning, after them."""

    before: str
    head: str
    after: str
    indent: int = 0


def question(item: Item, text: str, task: str, others: str = "", failure: str = "") -> Question:
    """Return what to ask for this edit of a file that now holds `text`."""
    fence = f"{FENCE}{language(item.path)}\n"
    cut = cut_of(item, text)
    parts = [others] if others else []
    if item.format != "create":
        parts.append(f"File {item.path}:\n{fence}{text.rstrip()}\n{FENCE}")
    parts.append(f"Task: {task.strip()}")
    if failure:
        parts.append(f"The checks fail now:\n{failure}\nCorrect the file.")
    parts.append(_order(item))
    prefill = fence + (cut.before + cut.head if cut else "")
    system = CREATE if item.format == "create" else EDIT
    return Question(system, "\n\n".join(parts), prefill, _stops(item, cut))


def apply(item: Item, text: str, answer: str) -> str | None:
    """Return the file that the answer makes; None when it holds no code."""
    answer = THINKING.sub("", answer)
    cut = cut_of(item, text)
    if cut is None:
        return _whole(answer)
    lines = (cut.head + answer.split(FENCE)[0]).split("\n")
    body = "\n".join(lines[: pysource.body_end(lines, cut.indent)]).rstrip()
    if body == cut.head.rstrip():
        return None
    glue = "\n" if cut.after and not cut.after.startswith("\n") else ""
    return pysource.with_imports(cut.before + body + "\n" + glue + cut.after)


def cut_of(item: Item, text: str) -> Cut | None:
    """Return where the model's lines go; None for formats that write whole files."""
    if item.format == "append":
        before = text.rstrip() + "\n\n\n" if text.strip() else ""
        return Cut(before, _head(item, 0), "")
    symbols = pysource.symbols_of(text) or ()
    if item.format == "method":
        return _method(item, text, symbols)
    return _symbol(item, text, symbols) if item.format == "symbol" else None


def language(path: str) -> str:
    """Return the name of a file's language, for a fence."""
    ending = path.rpartition(".")[2].lower()
    return LANGUAGES.get(ending, ending)


def _stops(item: Item, cut: Cut | None) -> tuple[str, ...]:
    if cut is None:
        return (FENCE,)
    if item.is_class:
        return STOP_CLASS
    return STOP_METHOD if cut.indent else STOP_FUNCTION


def as_whole(item: Item) -> Item:
    """Return the item with the model writing the complete file."""
    return replace(item, format="whole" if item.format != "create" else "create", name="")


def _method(item: Item, text: str, symbols: tuple[pysource.Symbol, ...]) -> Cut | None:
    owner, _, name = item.name.partition(".")
    found = pysource.find(symbols, owner)
    if not found or not name:
        return None
    lines = text.split("\n")
    before = "\n".join(lines[: found.end]).rstrip() + "\n\n"
    after = "\n".join(lines[found.end :])
    signature = item.signature
    if signature and not re.match(r"\w+\(\s*(?:self|cls)\b", signature):
        signature = ""
    return Cut(before, f"    def {signature or name}", after, 4)


def _symbol(item: Item, text: str, symbols: tuple[pysource.Symbol, ...]) -> Cut | None:
    found = pysource.find(symbols, item.name)
    if not found:
        return None
    lines = text.split("\n")
    before = "".join(line + "\n" for line in lines[: found.head])
    head = re.match(r"\s*(?:async )?(?:def|class) \w+", lines[found.head])
    after = "\n".join(lines[found.end :])
    return Cut(before, head.group() if head else lines[found.head], after, found.indent)


def _head(item: Item, indent: int) -> str:
    margin = " " * indent
    if item.is_class:
        return f"{margin}class {item.name}"
    return f"{margin}def {item.signature or item.name}"


def _order(item: Item) -> str:
    if item.format == "create":
        return f"Write the complete file {item.path}."
    return f"Return the complete new {item.path}; keep everything that the task does not change."


def _whole(answer: str) -> str | None:
    """Return the content of the answer's block, wherever it begins."""
    opened = re.match(r"\s*```[\w+-]*\n", answer)
    body = answer[opened.end() :] if opened else answer
    body = body.split("\n" + FENCE)[0].split(FENCE)[0]
    return body.strip("\n") + "\n" if body.strip() else None
