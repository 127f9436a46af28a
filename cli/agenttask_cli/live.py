"""A run on a terminal: what it is, the last steps, and the budgets, redrawn in place."""

import contextlib
import time
from collections.abc import Iterator
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agenttask_cli.run import Finished, Plan
from agenttask_cli.story import Line, Story
from agenttask_cli.summary import facts, headline
from agenttask_courier.journal import clean

REFRESH_PER_SECOND = 8
MARKS = {
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "denied": ("⊘", "yellow"),
    "stage": ("▸", "bold cyan"),
    "note": ("i", "blue"),
    "error": ("!", "red"),
    "conclusion": ("■", "bold"),
}
_SHOWN = frozenset({"action", "stage", "error", "conclusion", "analysis"})
_FOOTER_LINES = 5
_BAR = 18


class LiveView:
    """Prints what has happened above, and redraws what is going on below."""

    def __init__(self, stream: IO[str], plan: Plan, story: Story) -> None:
        self._console = Console(file=stream, highlight=False)
        self._plan, self._story = plan, story
        self._live = Live(
            get_renderable=self.now,
            console=self._console,
            refresh_per_second=REFRESH_PER_SECOND,
            transient=True,
        )

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the block runs."""
        document = self._plan.document
        head = Text.assemble(
            ("agenttask ", "dim"),
            (document.identity.name, "bold"),
            ("  model ", "dim"),
            document.model.name,
            ("  role ", "dim"),
            document.role.value,
        )
        self._console.print(head, overflow="ellipsis", no_wrap=True)
        with self._live:
            yield

    def line(self, line: Line) -> None:
        """Print one line of the story, cut to the terminal's width."""
        if line.kind == "note":
            self._live.console.print(
                Text.assemble(("  i ", "blue"), one_line(line.text)), style="dim"
            )
        elif line.kind in _SHOWN:
            self._live.console.print(_row(line), overflow="ellipsis", no_wrap=True, crop=True)

    def ended(self, finished: Finished) -> None:
        """Print how it ended."""
        self._live.stop()
        good = finished.account.outcome.phase == "Succeeded"
        mark, style = ("✓", "bold green") if good else ("✗", "bold red")
        self._console.print()
        self._console.print(Text.assemble((f"{mark} ", style), (headline(finished), style)))
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in facts(finished):
            table.add_row(name, escape(clean(text)))
        self._console.print(Padding(table, (0, 0, 0, 2)))

    def now(self) -> RenderableType:
        """Return what is going on: the stage, the time, and what is used of the budgets."""
        story, bounds = self._story, self._plan.document.constraints
        limit = self._plan.document.clocks.run_seconds
        stage = Text.assemble((f" {_spinner()} ", "cyan"), (story.stage, "bold"))
        table = Table.grid(padding=(0, 1))
        for _ in range(3):
            table.add_column(no_wrap=True)
        rows = (
            ("time", story.seconds, limit, f"{clock(story.seconds)} of {clock(limit)}"),
            ("replies", story.iteration, bounds.max_iterations,
             f"{story.iteration} of {bounds.max_iterations}"),
            ("tokens", story.usage.total_tokens, bounds.max_model_tokens,
             f"{short(story.usage.total_tokens)} of {short(bounds.max_model_tokens)}"),
        )  # fmt: skip
        for name, used, most, text in rows:
            table.add_row(Text(f"   {name}", style="dim"), _bar(used, most), Text(text))
        return Group(Text(), stage, table)


def _bar(used: float, most: float) -> ProgressBar:
    full = used >= most * 0.9
    style = "red" if full else "cyan"
    return ProgressBar(total=most, completed=min(used, most), width=_BAR, complete_style=style)


def _row(line: Line) -> Text:
    seconds = (f"{line.seconds:6.1f}s ", "dim")
    if line.kind == "action":
        mark, style = MARKS.get(line.state, ("?", "yellow"))
        took = "" if line.took is None else f"  {line.took:.1f}s"
        name = (f"{line.iteration:>3}  {one_line(line.text)}", "")
        state = "" if line.state == "succeeded" else f"  {line.state}"
        return Text.assemble(seconds, (f"{mark} ", style), name, (state, style), (took, "dim"))
    if line.kind == "analysis":
        return Text.assemble(
            seconds, ("  ", ""), (f"{line.iteration:>3}  {one_line(line.text)}", "dim italic")
        )
    mark, style = MARKS[line.kind]
    return Text.assemble(seconds, (f"{mark} ", style), (one_line(line.text), style))


def one_line(text: str) -> str:
    """Return the text on one line, without anything that a terminal would obey."""
    return " ".join(clean(text).split())


def short(number: int) -> str:
    """Return 950, 38.4k or 1.2M."""
    if number < 1000:
        return str(number)
    if number < 1_000_000:
        return f"{number / 1000:.1f}k".replace(".0k", "k")
    return f"{number / 1_000_000:.1f}M".replace(".0M", "M")


def clock(seconds: float) -> str:
    """Return 0:07, 12:30 or 1:00:00."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    tail = f"{whole % 60:02d}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def _spinner() -> str:
    frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    return frames[int(time.monotonic() * REFRESH_PER_SECOND) % len(frames)]
