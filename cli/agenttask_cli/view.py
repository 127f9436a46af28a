"""Which view fits: one that redraws on a terminal, plain lines everywhere else."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO, Protocol

from agenttask_cli.plain import PlainView
from agenttask_cli.run import Finished, Plan
from agenttask_cli.story import Line, Story


class View(Protocol):
    """Shows one run."""

    def line(self, line: Line) -> None:
        """Show one thing that happened."""
        ...

    def ended(self, finished: Finished) -> None:
        """Show how it ended."""
        ...


@contextlib.contextmanager
def make_view(plan: Plan, story: Story, stream: IO[str]) -> Iterator[View]:
    """Show a run while the block lasts."""
    if not is_terminal(stream):
        plain = PlainView(stream)
        story.tell = plain.line
        plain.begin(plan)
        yield plain
        return
    from agenttask_cli.live import LiveView

    live = LiveView(stream, plan, story)
    with live.shown():
        story.tell = live.line
        yield live


def is_terminal(stream: IO[str]) -> bool:
    """Say whether the stream can redraw; a dumb terminal cannot."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
