"""What a task's text says by itself: files, names, signatures, examples. Pure.

An example is a call with literal arguments and the value that the text gives for it,
such as `slugify("A b") == "a-b"`; it becomes an assertion beside the visible tests.
"""

import ast
import re
from dataclasses import dataclass

PATH = re.compile(r"(?<![\w/.])((?:[\w-]+/)*[\w-]+\.[A-Za-z]{1,5})(?![\w/(])")
IDENTIFIER = re.compile(r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`|\b([A-Za-z_][\w.]*)\(|\b(\w+_\w+)\b")
CLASS_WORD = re.compile(r"\bclass(?:es)?\s+`?([A-Z]\w*)")
CALL = re.compile(r"\b([A-Za-z_]\w*)\(")
GIVES = re.compile(
    r"`?\s*(?:==|->|=>|→|(?:must |should |now )?(?:return|give|equal)s?|is)\s+`?", re.IGNORECASE
)
RAISES = re.compile(r"`?\s*(?:must |should )?raises?\s+(?:a |an )?`?([A-Z]\w*(?:Error|Exception))")
TESTS = re.compile(
    r"\b(?:add|write|update|extend|create|change)\b"
    r"(?:(?!\b(?:so|until|make|pass|passes|keep|without|while|if|but)\b)[^.,;\n]){0,40}"
    r"\btests?\b(?! *(?:still )?(?:pass|succeed|green|hold))",
    re.IGNORECASE,
)
"""Leave to edit tests. "Fix the failing test" is none: it asks for code that passes it."""
RENAME = re.compile(
    r"\brename\b.{0,60}?`?([A-Za-z_]\w*)(?:\(\))?`?\s+(?:to|into|as)\s+`?([A-Za-z_]\w*)",
    re.IGNORECASE | re.DOTALL,
)
PARAMETERS = re.compile(r"\s*(?:\*{0,2}[A-Za-z_]\w*(?:\s*=\s*[\w.'\"-]+)?\s*(?:,\s*|$))*")
"""Bare parameter names, or none at all."""
NOT_CODE = frozenset({"e.g", "i.e", "etc"})


@dataclass(frozen=True)
class Words:
    """The parts of a task's text that a program can use."""

    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Identifiers, in the order of the text; may be dotted."""
    classes: tuple[str, ...] = ()
    signatures: tuple[tuple[str, str], ...] = ()
    """Name and `name(parameters)` where the text gives bare parameter names."""
    examples: tuple[tuple[str, str], ...] = ()
    """Function name and assertion."""
    wants_tests: bool = False
    rename: tuple[str, str] | None = None


def read_words(task: str) -> Words:
    """Return what the task's text says."""
    found = ("".join(match) for match in IDENTIFIER.findall(task))
    paths = tuple(dict.fromkeys(PATH.findall(task)))
    names = tuple(dict.fromkeys(n.strip(".") for n in found if n not in paths))
    renamed = RENAME.search(task)
    return Words(
        paths=tuple(p for p in paths if p.lower() not in NOT_CODE and p not in names),
        names=names,
        classes=tuple(dict.fromkeys(CLASS_WORD.findall(task))),
        signatures=tuple(_signatures(task)),
        examples=tuple(dict.fromkeys(_examples(task))),
        wants_tests=bool(TESTS.search(task)),
        rename=renamed.groups() if renamed else None,  # type: ignore[arg-type]
    )


def _signatures(task: str) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for match in CALL.finditer(task):
        call = _balanced(task, match.start(), match.end())
        inner = call[len(match.group(1)) + 1 : -1]
        if call and PARAMETERS.fullmatch(inner):
            found.setdefault(match.group(1), call)
    return list(found.items())


def _examples(task: str) -> list[tuple[str, str]]:
    found = []
    for match in CALL.finditer(task):
        call = _balanced(task, match.start(), match.end())
        rest = task[match.start() + len(call) :]
        if not call or not _only_literals(call):
            continue
        raises, gives = RAISES.match(rest), GIVES.match(rest)
        if raises:
            text = f"with pytest.raises({raises.group(1)}):\n        {call}"
            found.append((match.group(1), text))
        elif gives and (value := _leading_literal(rest[gives.end() :])):
            found.append((match.group(1), f"assert {call} == {value}"))
    return found


def _balanced(text: str, start: int, inside: int) -> str:
    """Return the text from `start` to the parenthesis that closes the one before `inside`."""
    depth, quote = 1, ""
    for index in range(inside, min(len(text), inside + 300)):
        character = text[index]
        if quote:
            quote = "" if character == quote and text[index - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth == 0:
                return text[start : index + 1]
    return ""


def _only_literals(call: str) -> bool:
    try:
        node = ast.parse(call.strip(), mode="eval").body
        if not isinstance(node, ast.Call):
            return False
        for value in [*node.args, *(k.value for k in node.keywords)]:
            ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, TypeError):
        return False
    return True


def _leading_literal(text: str) -> str:
    """Return the longest Python literal at the beginning, nothing when there is none."""
    line = text.split("\n", 1)[0][:200]
    for end in range(len(line), 0, -1):
        piece = line[:end].rstrip(" .,;`")
        try:
            ast.literal_eval(piece.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return piece.strip()
    return ""
