"""Asks for one change of one file and makes the file's new content from the answer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agenttask_agent import messages
from agenttask_agent.limits import Budget
from agenttask_agent.loop import Recorder
from agenttask_agent.messages import Message, Reply
from agenttask_agent.models.parsing import parse_reply
from agenttask_agent.small import questions, splice
from agenttask_agent.small.index import SourceFile, symbols_of
from agenttask_agent.small.portfolio import Format, Try
from agenttask_agent.small.questions import Sample
from agenttask_agent.small.splice import CannotSplice


class Client(Protocol):
    """A model that can be asked with a request of one's own."""

    def ask(self, request: Message) -> Message:
        """Return the body of a chat completion; raises Stop, ModelRefused for a 4xx."""
        ...


@dataclass(frozen=True)
class Place:
    """What the model says is to be done next; `path` is empty for finish."""

    kind: str
    path: str = ""


@dataclass
class Editor:
    """The questions of one run, asked within its budget and written down."""

    model: Client
    recorder: Recorder
    budget: Budget
    task: str

    def where(self, files: Sequence[SourceFile], done: Sequence[str]) -> Place | None:
        """Return the next file, None when the answer names none."""
        names = [questions.EDIT, questions.CREATE, questions.FINISH]
        reply = self._ask(questions.where(self.task, files, done), names)
        call = next((c for c in reply.calls if not c.problem and c.name in names), None)
        if call is None:
            return None
        place = Place(call.name, str(call.arguments.get("path", "")))
        self._think("decision", f"{place.kind} {place.path}".strip())
        return place

    def candidate(self, path: str, before: str, how: Try, problem: str) -> str:
        """Return a file's new content; raises CannotSplice when the answer gives none."""
        sample = Sample(how.sample)
        if how.format is Format.SYMBOL:
            after = self._symbol(path, before, problem, sample)
        elif how.format is Format.ADDITION:
            asked = questions.addition(path, before, self.task, problem, sample)
            after = splice.append(before, self._code(asked))
        else:
            asked = questions.whole_file(path, before, self.task, problem, sample)
            after = self._code(asked)
        return splice.with_line_endings(after, before)

    def _symbol(self, path: str, before: str, problem: str, sample: Sample) -> str:
        symbols = symbols_of(before)
        asked = questions.which_symbol(path, before, symbols, self.task)
        symbol = symbols[0] if len(symbols) == 1 else self._choice(asked, symbols)
        found = splice.find_symbol(before, symbol)
        if found is None:
            raise CannotSplice(f"{path} has no {symbol}")
        code = "\n".join(before.splitlines()[found[0] - 1 : found[1]])
        new = self._code(questions.one_symbol(path, symbol, code, self.task, problem, sample))
        return splice.replace_symbol(before, symbol, new)

    def _choice(self, asked: Message, symbols: Sequence[str]) -> str:
        reply = self._ask(asked, [])
        try:
            symbol = str(json.loads(reply.content)["symbol"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CannotSplice("the answer names no function or class") from None
        if symbol not in symbols:
            raise CannotSplice(f"there is no {symbol[:80]}")
        return symbol

    def _code(self, asked: Message) -> str:
        reply = self._ask(asked, [])
        if reply.cut:
            raise CannotSplice("the answer was cut off at its limit")
        code = splice.code_of(reply.content)
        if not code.strip():
            raise CannotSplice("the answer holds no code")
        return code

    def _ask(self, asked: Message, names: Sequence[str]) -> Reply:
        self.budget.before_reply()
        reply = parse_reply(self.model.ask(asked), names)
        self.budget.count(reply)
        for message in _asked(asked)[-2:]:
            if message["role"] == "user":
                self.recorder.message(message)
        self.recorder.message(messages.assistant(reply), reply)
        return reply

    def _think(self, kind: str, text: str) -> None:
        self.recorder.thought(self.budget.replies, kind, text)


def _asked(request: Message) -> list[Message]:
    found = request["messages"]
    assert isinstance(found, list)
    return found
