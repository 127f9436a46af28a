"""The loop with a scripted model and scripted tools: limits, endings, what is said."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agenttask_agent import messages
from agenttask_agent.limits import Budget, Limits
from agenttask_agent.loop import Loop
from agenttask_agent.messages import Message, Reply, ToolCall
from agenttask_agent.outcome import ModelFailed, Outcome, Records, Stop, build_report
from agenttask_agent.results import ToolResult
from agenttask_api.reasons import Reason
from agenttask_api.result import MAX_REPORT_BYTES, Operation, Thought


@dataclass
class ScriptedModel:
    """Gives its replies in turn, the last one for ever."""

    replies: list[Reply]
    required: list[bool] = field(default_factory=list)
    seen: list[list[Message]] = field(default_factory=list)
    variations: list[int] = field(default_factory=list)

    def reply(
        self,
        conversation: Sequence[Message],
        tools: Sequence[Message],
        *,
        required: bool,
        variation: int = 0,
    ) -> Reply:
        assert tools
        self.variations.append(variation)
        self.required.append(required)
        self.seen.append(list(conversation))
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


@dataclass
class ScriptedTools:
    """Answers every call with its number, or always the same."""

    constant: bool = False
    editing: bool = False
    calls: list[str] = field(default_factory=list)
    together: list[list[str]] = field(default_factory=list)

    def schemas(self) -> list[Message]:
        return [{"type": "function", "function": {"name": "look"}}]

    def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        assert arguments == {}
        self.calls.append(name)
        output = "same" if self.constant else f"result {len(self.calls)}"
        return ToolResult(True, name, output, edited=self.editing, seq=len(self.calls))

    def joins(self, name: str) -> bool:
        return name.startswith("read")

    def call_together(
        self, calls: Sequence[tuple[str, dict[str, object]]]
    ) -> tuple[ToolResult, ...]:
        self.together.append([name for name, _ in calls])
        return tuple(self.call(name, arguments) for name, arguments in calls)

    def edits(self, name: str) -> bool:
        return name.startswith("edit")

    def review(self) -> str:
        return "the review"


@dataclass
class Notes:
    """Keeps what the loop wants written down."""

    thoughts: list[tuple[int, str, str]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    confidences: list[tuple[str, float]] = field(default_factory=list)

    def message(self, message: Message, reply: Reply | None = None) -> None:
        self.messages.append(message | ({"from": reply} if reply else {}))

    def thought(
        self,
        iteration: int,
        type_: str,
        content: str,
        operations: tuple[int, ...] = (),
        confidence: float | None = None,
    ) -> None:
        assert all(operations)
        if confidence is not None:
            self.confidences.append((type_, confidence))
        self.thoughts.append((iteration, type_, content))


def calling(*names: str, tokens: int = 10, problem: str = "") -> Reply:
    calls = tuple(ToolCall(f"id-{i}", name, {}, problem) for i, name in enumerate(names))
    return Reply(calls=calls, input_tokens=tokens, output_tokens=0)


FINISH = calling("finish")


def run(
    *replies: Reply, tools: ScriptedTools | None = None, clock: Any = lambda: 0.0, **limits: Any
) -> tuple[Outcome, ScriptedModel, ScriptedTools, Notes]:
    model, toolbox, notes = ScriptedModel(list(replies)), tools or ScriptedTools(), Notes()
    budget = Budget(Limits(**{"replies": 50, "operations": 50, "tokens": 10_000, **limits}), clock)
    outcome = Loop(model, toolbox, notes, budget).run([messages.user("task")])
    return outcome, model, toolbox, notes


def test_finish_needs_two_replies():
    outcome, model, tools, _ = run(calling("look"), FINISH, FINISH)
    assert (outcome.reason, tools.calls, len(model.seen)) == (Reason.COMPLETED, ["look"], 3)
    assert "the review" in str(model.seen[2][-1]["content"])


def test_two_finish_calls_in_one_reply_are_one():
    outcome, model, _, _ = run(calling("finish", "finish"), calling("look"), FINISH)
    assert (outcome.reason, len(model.seen)) == (Reason.COMPLETED, 3)


def test_an_edit_after_the_review_needs_another_review():
    tools = ScriptedTools(editing=True)
    outcome, model, _, _ = run(FINISH, calling("edit"), FINISH, FINISH, tools=tools)
    assert (outcome.reason, len(model.seen)) == (Reason.COMPLETED, 4)


@pytest.mark.parametrize(("limit", "reason"), [(3, "Completed"), (2, "IterationLimit")])
def test_replies_at_the_limit_and_beyond(limit: int, reason: str):
    outcome, model, _, _ = run(calling("look"), FINISH, FINISH, replies=limit)
    assert (outcome.reason, len(model.seen)) == (reason, limit)


@pytest.mark.parametrize(("limit", "reason"), [(3, "Completed"), (2, "BudgetExceeded")])
def test_operations_at_the_limit_and_beyond(limit: int, reason: str):
    outcome, _, tools, _ = run(calling("look", "look", "look"), FINISH, FINISH, operations=limit)
    assert (outcome.reason, len(tools.calls)) == (reason, limit)


@pytest.mark.parametrize(("limit", "calls"), [(21, 3), (20, 2), (19, 2), (10, 1), (11, 2)])
def test_no_call_is_made_once_the_tokens_are_spent(limit: int, calls: int):
    outcome, model, _, _ = run(calling("look"), tokens=limit)
    assert (outcome.reason, len(model.seen)) == (Reason.BUDGET_EXCEEDED, calls)


def test_the_clock_ends_the_run():
    ticks = iter(range(100))
    outcome, _, _, _ = run(calling("look"), clock=lambda: float(next(ticks)), seconds=3.0)
    assert outcome.reason == Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("limit", "elapsed", "over"), [(3.0, 2.999, False), (3.0, 3.0, True), (None, 10**9, False)]
)
def test_the_deadline_at_the_limit_and_beyond(limit: float | None, elapsed: float, over: bool):
    limits = Limits(9, 9, 9) if limit is None else Limits(9, 9, 9, limit)
    times = iter([0.0, elapsed, elapsed])
    budget = Budget(limits, lambda: next(times))
    if not over:
        budget.before_reply()
        return
    with pytest.raises(Stop) as stopped:
        budget.before_reply()
    assert stopped.value.outcome.reason == Reason.DEADLINE_EXCEEDED


def test_text_without_calls_is_nudged_required_and_stopped():
    outcome, model, _, _ = run(Reply(content="I would..."))
    assert (outcome.reason, model.required) == (Reason.MODEL_MISUNDERSTOOD, [False, False, True])


def test_a_call_forgives_silence():
    said = Reply(content="hm")
    outcome, _, _, _ = run(said, said, calling("look"), said, said, FINISH, FINISH)
    assert outcome.reason == Reason.COMPLETED


def test_three_unreadable_calls_in_a_row_stop_the_run():
    bad = calling("look", problem="cannot be read")
    assert run(bad, bad, bad)[0].reason == Reason.MODEL_MISUNDERSTOOD
    outcome, _, tools, _ = run(bad, bad, calling("look"), bad, bad, FINISH, FINISH)
    assert (outcome.reason, tools.calls) == (Reason.COMPLETED, ["look"])


def test_an_unreadable_call_is_answered_and_valid_in_the_history():
    _, model, _, _ = run(calling("look", problem="cannot be read"), FINISH, FINISH)
    said, answer = model.seen[1][-2:]
    assert said["tool_calls"][0]["function"]["arguments"] == "{}"  # type: ignore[index]
    assert (answer["role"], answer["content"]) == ("tool", "error: cannot be read")


def last_texts(model: ScriptedModel) -> list[str]:
    return [str(seen[-1]["content"]) for seen in model.seen[1:]]


def test_the_same_result_again_is_nudged_then_blocked_then_the_end():
    outcome, model, tools, _ = run(calling("look"), tools=ScriptedTools(constant=True))
    assert (outcome.reason, len(tools.calls), len(model.seen)) == (Reason.LOOP_DETECTED, 3, 5)
    texts = last_texts(model)
    assert ["same result before" in text for text in texts] == [False, False, True, False]
    assert texts[3].startswith("[not executed")


def test_a_blocked_call_may_be_made_again_after_an_edit():
    class Editing(ScriptedTools):
        def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
            result = super().call(name, arguments)
            return replace(result, edited=name == "edit")

    look = calling("look")
    tools = Editing(constant=True)
    outcome, _, _, _ = run(look, look, look, calling("edit"), look, FINISH, FINISH, tools=tools)
    assert (outcome.reason, len(tools.calls)) == (Reason.COMPLETED, 5)


def test_alternating_between_two_calls_is_nudged_and_then_the_end():
    outcome, model, tools, _ = run(*[calling("one"), calling("two")] * 10)
    assert (outcome.reason, len(tools.calls)) == (Reason.LOOP_DETECTED, 8)
    assert ["to and fro" in text for text in last_texts(model)] == [False] * 5 + [True, True]


def test_alternating_edits_that_undo_each_other_are_a_loop_too():
    pair = [calling("edit_one"), calling("edit_two")]
    outcome, _, tools, _ = run(*pair * 10, tools=ScriptedTools(editing=True))
    assert (outcome.reason, len(tools.calls)) == (Reason.LOOP_DETECTED, 8)


def test_one_error_again_and_again_is_nudged_and_then_the_end():
    class Failing(ScriptedTools):
        def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
            return replace(super().call(name, arguments), ok=False, error="not found")

    names = [calling(name) for name in "abcdefgh"]
    outcome, model, tools, _ = run(*names, tools=Failing())
    assert (outcome.reason, len(tools.calls)) == (Reason.LOOP_DETECTED, 5)
    assert ["same error" in text for text in last_texts(model)] == [False, False, True, True]


def test_looking_without_changing_is_remarked_on_every_tenth_operation():
    names = [calling(f"look_{n}") for n in range(25)]
    _, model, _, _ = run(*names, replies=21)
    found = [n for n, text in enumerate(last_texts(model), 1) if "without changing" in text]
    assert found == [10, 20]


def test_the_same_reply_again_is_asked_for_in_another_way():
    said = [calling("look"), calling("look"), calling("look"), calling("other"), FINISH, FINISH]
    _, model, _, _ = run(*said)
    assert model.variations == [0, 0, 1, 2, 0, 0]


def test_a_failed_change_cancels_the_later_changes_of_its_reply():
    class Failing(ScriptedTools):
        def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
            return replace(super().call(name, arguments), ok=name != "edit_a")

    batch = calling("edit_a", "look", "edit_b")
    _, model, tools, _ = run(batch, calling("edit_b"), FINISH, FINISH, tools=Failing())
    assert tools.calls == ["edit_a", "look", "edit_b"]
    answers = [str(m["content"]) for m in model.seen[1] if m["role"] == "tool"]
    assert [a.startswith("[not executed: an earlier change") for a in answers] == [
        False,
        False,
        True,
    ]


def test_different_results_are_no_loop():
    assert run(calling("look"), replies=20)[0].reason == Reason.ITERATION_LIMIT


def test_the_conversation_only_grows():
    _, model, _, _ = run(*[calling("look")] * 5, FINISH, FINISH)
    for before, after in zip(model.seen, model.seen[1:], strict=False):
        assert after[: len(before)] == before


def test_every_ending_is_in_the_reasoning_log():
    endings: list[tuple[Reply, dict[str, Any]]] = [
        (FINISH, {}),
        (calling("look"), {"replies": 1}),
        (Reply(content="x"), {}),
        (calling("look"), {"tokens": 1}),
    ]
    for reply, limits in endings:
        outcome, _, _, notes = run(reply, **limits)
        kind = "conclusion" if outcome.reason == Reason.COMPLETED else "error"
        assert notes.thoughts[-1][1] == kind


def test_a_model_that_fails_ends_the_run():
    class Failing(ScriptedModel):
        def reply(self, *_: Any, **__: Any) -> Reply:
            raise ModelFailed("gone")

    budget = Budget(Limits(1, 1, 1))
    outcome = Loop(Failing([]), ScriptedTools(), Notes(), budget).run([])
    assert (outcome.reason, outcome.message) == (Reason.MODEL_ERROR, "gone")


def test_a_report_too_large_for_the_door_is_cut_visibly():
    operation = Operation(
        seq=1, operation="files.write_file", success=True, params={"x": "y" * 900}
    )
    thought = Thought(iteration=1, type="analysis", content="z" * 2000)
    audit: dict[str, object] = {"params": "y" * 900}
    records = Records([operation] * 5000, [thought] * 5000, [audit] * 5000)
    report = build_report(Outcome(Reason.COMPLETED, "done"), records, "abc")
    assert len(report.model_dump_json(by_alias=True).encode()) <= MAX_REPORT_BYTES
    assert "report cut" in report.message
    assert report.commit_sha == "abc"
    assert len(report.operations) == 1000


def test_an_ordinary_report_is_whole():
    report = build_report(Outcome(Reason.COMPLETED, "done", "sum"), Records(), None)
    assert (report.stop_reason, report.message, report.summary) == ("Completed", "done", "sum")


@pytest.mark.parametrize(
    ("given", "kept"),
    [(0.8, 0.8), ("0.5", 0.5), (80, None), (-1, None), ("high", None), (True, None), (None, None)],
)
def test_the_conclusion_has_the_model_s_confidence_if_it_gave_one(given: Any, kept: float | None):
    call = ToolCall("id", "finish", {"summary": "done", "confidence": given})
    said = Reply(calls=(call,))
    _, _, _, notes = run(said, said)
    assert notes.confidences == ([] if kept is None else [("conclusion", kept)])


def test_neighbouring_reads_run_together_and_answer_in_order():
    reply = calling("read_a", "read_b", "edit", "read_c", "read_d", "look", "read_e")
    outcome, model, tools, _ = run(reply, FINISH, FINISH)
    assert outcome.reason == Reason.COMPLETED
    assert tools.together == [["read_a", "read_b"], ["read_c", "read_d"]]
    assert tools.calls == [call.name for call in reply.calls]
    answers = [m for m in model.seen[1] if m["role"] == "tool"]
    assert [m["tool_call_id"] for m in answers] == [call.id for call in reply.calls]
    said = [str(m["content"]).split("\n")[-2] for m in answers]
    assert said == [f"result {n}" for n in range(1, 8)]


@pytest.mark.parametrize(("limit", "reason"), [(3, "Completed"), (2, "BudgetExceeded")])
def test_reads_that_run_together_end_at_the_limit(limit: int, reason: str):
    reply = calling("read_a", "read_b", "read_c")
    outcome, _, tools, _ = run(reply, FINISH, FINISH, operations=limit)
    assert (outcome.reason, len(tools.calls)) == (reason, limit)
