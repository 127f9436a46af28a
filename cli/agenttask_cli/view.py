"""Show a run while it goes on."""

import contextlib
from collections.abc import Iterator
from typing import IO, Protocol

from agenttask_cli.plain import PlainView
from agenttask_cli.run import Finished, Plan
from agenttask_cli.story import Story


class View(Protocol):
    """Shows one run."""

    def ended(self, finished: Finished) -> None:
        """Show how it ended."""
        ...


@contextlib.contextmanager
def make_view(plan: Plan, story: Story, stream: IO[str]) -> Iterator[View]:
    """Return the view that fits the stream."""
    view = PlainView(stream)
    story.tell = view.line
    view.begin(plan)
    yield view
