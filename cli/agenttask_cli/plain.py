"""A run as plain lines: for pipes, files and CI logs."""

import contextlib
import os
from typing import TextIO

from agenttask_cli.run import Finished, Plan
from agenttask_cli.story import Line
from agenttask_cli.summary import facts, headline
from agenttask_courier.journal import clean

_SHOWN = frozenset({"stage", "note", "action", "error", "conclusion"})
MAX_TEXT = 300


class PlainView:
    """Writes every line once."""

    def __init__(self, stream: TextIO) -> None:
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
        """Write one line; a reader that has gone away must not end the run."""
        try:
            self._stream.write(_encodable(text, self._stream) + "\n")
            self._stream.flush()
        except OSError:
            self._write_nowhere()

    def _write_nowhere(self) -> None:
        """Let what is still written, also by the interpreter at its end, go to nobody."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def _encodable(text: str, stream: TextIO) -> str:
    """Return the text with `?` for what the stream's encoding does not have."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def plain_text(line: Line) -> str:
    """Return a line's text, on one line and without anything a terminal would obey."""
    text = " ".join(clean(line.text).split())[:MAX_TEXT]
    if line.kind == "action":
        took = "" if line.took is None else f" ({line.took:.1f}s)"
        return f"step {line.iteration}: {text} {line.state}{took}"
    return text if line.kind == "stage" else f"{line.kind}: {text}"
