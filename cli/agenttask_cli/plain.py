"""A run as plain lines: for pipes, files and CI logs."""

from typing import IO

from agenttask_cli.run import Finished, Plan
from agenttask_cli.story import Line
from agenttask_cli.summary import facts, headline
from agenttask_courier.journal import clean

_SHOWN = frozenset({"stage", "note", "action", "error", "conclusion"})
MAX_TEXT = 300


class PlainView:
    """Writes every line once."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def begin(self, plan: Plan) -> None:
        """Say what is run."""
        document = plan.document
        self._write(f"task {document.identity.task_id}, model {document.model.name}")

    def line(self, line: Line) -> None:
        """Write one line of the story, if it is one for a person."""
        if line.kind in _SHOWN:
            self._write(f"[{line.seconds:7.1f}s] {plain_text(line)}")

    def ended(self, finished: Finished) -> None:
        """Write how it ended."""
        self._write(headline(finished))
        for name, text in facts(finished):
            self._write(f"  {name:8}{text}")

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def plain_text(line: Line) -> str:
    """Return a line's text, on one line and without anything a terminal would obey."""
    text = " ".join(clean(line.text).split())[:MAX_TEXT]
    if line.kind == "action":
        took = "" if line.took is None else f" ({line.took:.1f}s)"
        return f"step {line.iteration}: {text} {line.state}{took}"
    return text if line.kind == "stage" else f"{line.kind}: {text}"
