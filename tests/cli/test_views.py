"""What a person sees: one line per thing that happened, whatever a model writes into it."""

import io

import pytest
from rich.console import Console
from tests.courier.conftest import document_of

from agenttask_api.door import DoorEvent
from agenttask_api.status import Usage
from agenttask_cli.errors import BadInput
from agenttask_cli.live import LiveView, clock, short
from agenttask_cli.plain import plain_text
from agenttask_cli.run import Asked, Plan, plan_run
from agenttask_cli.story import Line, Story
from agenttask_cli.taskfile import Task
from agenttask_courier.decision import Step

ESCAPE = "\x1b[2J\x1b]0;title\x07evil\u202e"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_action_is_told_with_its_state_and_time():
    told: list[Line] = []
    clock_ = Clock()
    story = Story(told.append, clock_)
    story.event(DoorEvent(step=2, type="decision", message="call files_read_file"))
    clock_.now += 1.5
    story.event(DoorEvent(step=2, type="action", message="files.read_file was denied"))
    story.event(DoorEvent(step=0, type="model_call", data={"input_tokens": 1}))
    assert [(line.kind, line.text, line.state) for line in told] == [
        ("decision", "call files_read_file", ""),
        ("action", "files.read_file", "denied"),
    ]
    assert told[1].took == 1.5
    assert told[1].seconds == 1.5
    assert plain_text(told[1]) == "step 2: files.read_file denied (1.5s)"


def test_every_step_of_judging_has_words():
    story = Story()
    for step in Step:
        story.judging(step)
    assert all(line.text[0].isupper() and " " in line.text for line in story.lines)


def test_plain_lines_hold_nothing_that_a_terminal_obeys():
    text = plain_text(Line(0, 1, "error", f"{ESCAPE}\nsecond line"))
    assert text == "error: evil second line"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_live_view_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", str(width))
    document = document_of("https://git.example/x.git")
    task = Task("team-a", "fix-add", None)  # type: ignore[arg-type]
    stream = io.StringIO()
    story = Story()
    view = LiveView(stream, Plan(Asked(None), task, document, "", ""), story)  # type: ignore[arg-type]
    story.tell = view.line
    with view.shown():
        story.enter("Working")
        story.usage = Usage(total_tokens=150_000)
        story.event(DoorEvent(step=3, type="decision", message="call x"))
        story.event(DoorEvent(step=3, type="action", message=f"{'long.' * 60}{ESCAPE} failed"))
        story.event(DoorEvent(step=3, type="analysis", message="word " * 100))
        Console(file=stream, width=width).print(view.now())
    shown = stream.getvalue()
    assert "evil" in shown or "…" in shown
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown
    assert all(len(line) <= width for line in shown.splitlines())
    assert "150k of 200k" in shown
    assert "3 of 10" in shown


def test_numbers_are_short():
    assert [short(n) for n in (7, 999, 1000, 38_429, 1_250_000)] == [
        "7", "999", "1k", "38.4k", "1.2M",
    ]  # fmt: skip
    assert [clock(s) for s in (7.9, 750, 3600)] == ["0:07", "12:30", "1:00:00"]


def test_a_url_with_a_key_in_it_is_refused_without_showing_it(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text(
        "apiVersion: agenttask.dev/v1alpha1\nkind: AgentTask\nmetadata: {name: a}\n"
        "spec: {prompt: x, repo: {url: 'https://git.example/x'}}\n",
        encoding="utf-8",
    )
    with pytest.raises(BadInput) as caught:
        plan_run(Asked(path, model_url="http://sk-secret@host:8000"))
    assert "sk-secret" not in str(caught.value)
    with pytest.raises(BadInput, match="no model: give --model-url"):
        plan_run(Asked(path))
