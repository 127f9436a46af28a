"""Making a conversation short: when, what is kept, and what the server's refusal does."""

from collections.abc import Sequence
from typing import Any

from tests.agent.test_loop import FINISH, Notes, ScriptedModel, ScriptedTools, calling

from agenttask_agent import messages
from agenttask_agent.compaction import Compaction, StateCard
from agenttask_agent.frame import Frame
from agenttask_agent.limits import Budget, Limits
from agenttask_agent.loop import Loop
from agenttask_agent.messages import Message, Reply, ToolCall
from agenttask_agent.outcome import ContextOverflow, Outcome
from agenttask_agent.results import ToolResult
from agenttask_api.reasons import Reason

OPENING = [messages.system("who"), messages.user("the task")]


def run(model: ScriptedModel, compaction: Compaction) -> tuple[Outcome, Notes]:
    notes = Notes()
    budget = Budget(Limits(50, 50, 1_000_000), lambda: 0.0)
    loop = Loop(model, ScriptedTools(), notes, budget, compaction=compaction)
    return loop.run(OPENING), notes


def test_the_threshold_is_three_quarters_of_the_room():
    said = [messages.user("x")]
    compaction = Compaction(window=1000, reserve=200)
    compaction.saw(600, 1)
    assert not compaction.is_due(said)
    compaction.saw(601, 1)
    assert compaction.is_due(said)


def test_what_came_after_the_last_count_counts_too():
    said = [messages.user("x")]
    compaction = Compaction(window=1000, reserve=200)
    compaction.saw(500, 1)
    assert not compaction.is_due([*said, messages.user("y" * 300)])
    assert compaction.is_due([*said, messages.user("y" * 303)])


def test_an_unknown_window_is_never_full():
    compaction = Compaction()
    compaction.saw(10**9, 0)
    assert not compaction.is_due([messages.user("y" * 10**6)])


def test_a_long_conversation_is_made_short_and_goes_on():
    replies = [calling(f"look_{n}", tokens=100 * n) for n in range(1, 9)]
    model = ScriptedModel([*replies, FINISH, FINISH])
    outcome, notes = run(model, Compaction(window=1000, reserve=200))
    assert outcome.reason == Reason.COMPLETED
    lengths = [len(seen) for seen in model.seen]
    assert lengths[:7] == [2, 4, 6, 8, 10, 12, 7], "opening, card, two calls, two results"
    short = model.seen[6]
    assert short[:2] == OPENING
    assert "the review" in str(short[2]["content"])
    assert [m["role"] for m in short[3:]] == ["assistant", "tool", "assistant", "tool"]
    assert any("compacted" in content for _, _, content in notes.thoughts)


class Overflowing(ScriptedModel):
    """Refuses every conversation longer than `most` messages."""

    most = 6

    def reply(self, conversation: Sequence[Message], *rest: Any, **more: Any) -> Reply:
        if len(conversation) > self.most:
            self.refused = getattr(self, "refused", 0) + 1
            raise ContextOverflow("too long")
        return super().reply(conversation, *rest, **more)


def test_a_refusal_for_length_is_answered_with_a_shorter_conversation():
    model = Overflowing([*(calling(f"look_{n}") for n in range(3)), FINISH, FINISH])
    model.most = 7
    outcome, _ = run(model, Compaction())
    assert outcome.reason == Reason.COMPLETED
    assert model.refused == 2


def test_a_refusal_of_the_short_one_too_is_the_end():
    model = Overflowing([calling(f"look_{n}") for n in range(9)])
    outcome, notes = run(model, Compaction())
    assert (outcome.reason, model.refused) == (Reason.CONTEXT_EXHAUSTED, 2)
    assert notes.thoughts[-1][1] == "error"


def test_a_refusal_with_nothing_to_leave_out_is_the_end_at_once():
    model = Overflowing([FINISH])
    model.most = 1
    outcome, _ = run(model, Compaction())
    assert (outcome.reason, model.refused) == (Reason.CONTEXT_EXHAUSTED, 1)


def seen(card: StateCard, operation: str, *, ok: bool = True, edited: bool = False, **args: Any):
    call = ToolCall("1", operation.replace(".", "_"), args)
    output = "" if ok else "E  assert 1 == 2"
    card.saw(call, ToolResult(ok, operation, output, edited=edited))


def test_the_card_tells_what_was_really_done():
    card = StateCard()
    seen(card, "files.read_file", path="a.py")
    seen(card, "files.read_file", ok=False, path="missing.py")
    seen(card, "files.edit_file", edited=True, path="b.py")
    seen(card, "tests.pytest", ok=False, path="tests")
    text = card.text("1 file changed", Frame("data-1"))
    assert text.split("\n").count("<data-1>") == text.split("\n").count("</data-1>") == 1
    assert "<data-1>\nFiles read: a.py\n" in text
    assert "Files edited: b.py\n" in text
    assert "assert 1 == 2" in text
    assert "1 file changed" in text
    seen(card, "tests.pytest", path="tests")
    assert "Last failing tests: none" in card.text("", Frame("data-1"))
