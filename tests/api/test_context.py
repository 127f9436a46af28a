"""Context is cut to its size, the same way each time, and every source gets its share."""

import itertools

from agenttask_api.context import (
    CHARACTERS_PER_TOKEN,
    ContextPart,
    compose_context,
    trim_context,
)
from agenttask_api.contextrecord import ContextRecord, RecordedDecision, render_record

LINES = "".join(f"line {n}\n" for n in range(1000))
NOTES = 100
"""Characters that a title and a note of a cut may take beyond the budget."""


def test_without_parts_it_is_the_plain_text():
    for tokens in (0, 10, 100000):
        assert compose_context(LINES, (), tokens) == trim_context(LINES, tokens)


def test_small_parts_are_whole_and_named():
    text = compose_context("mine", (ContextPart("Task a", "one"), ContextPart("Task b", "two")), 99)
    assert text == "mine\n\n## Task a\n\none\n\n## Task b\n\ntwo"


def test_the_size_holds_and_everyone_gets_a_share():
    parts = [ContextPart(f"Task {n}", LINES) for n in range(4)]
    for tokens in (100, 1000, 4000):
        text = compose_context("mine", parts, tokens)
        assert len(text) <= tokens * CHARACTERS_PER_TOKEN + NOTES * len(parts)
        assert text.count("context cut") == len(parts)
        assert all(f"## Task {n}" in text for n in range(4))


def test_what_a_small_part_leaves_goes_to_the_next():
    small, large = ContextPart("s", "tiny"), ContextPart("l", LINES)
    alone = compose_context("", (large,), 1000)
    beside = compose_context("", (small, large), 1000)
    assert len(beside) >= len(alone) - 50


def test_the_same_input_gives_the_same_text():
    parts = [ContextPart("a", LINES), ContextPart("b", LINES)]
    texts = {compose_context("x", parts, 500) for _ in range(5)}
    assert len(texts) == 1


def record(**more: object) -> ContextRecord:
    fields: dict[str, object] = {
        "task_id": "team.fix", "uid": "u", "run_id": "1", "run_key": "1-a", "role": "DEV",
        "goal": "fix it", "phase": "Succeeded", "verdict": "Verified", "reason": "Completed",
        "repo": "https://git.example/x.git", "branch": "agenttask/fix", "base_commit": "b" * 40,
        "commit": "c" * 40, "files": ["a.py"], "files_count": 1, "tests": {"passed": 3},
    }  # fmt: skip
    return ContextRecord.model_validate(fields | more)


def test_the_most_useful_comes_first_so_that_a_cut_takes_the_least():
    decisions = [RecordedDecision(iteration=2, type="decision", content="use\nints")]
    text = render_record(record(decisions=decisions, summary="done", operations_by_name={"x.y": 2}))
    order = ["Succeeded (Verified)", "fix it", "c" * 40, "- a.py", "3 passed", "[2] use ints",
             "done", "x.y 2"]  # fmt: skip
    places = [text.index(words) for words in order]
    assert all(a < b for a, b in itertools.pairwise(places))


def test_a_failed_task_without_a_commit_says_so():
    text = render_record(record(phase="Failed", verdict="", reason="NoChange", commit="", files=[]))
    assert "Failed, NoChange" in text
    assert "Commit" not in text
