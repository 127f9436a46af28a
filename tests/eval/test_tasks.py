"""The evaluation set is sound: every task can be done, and is not done yet."""

from pathlib import Path

import pytest
from tests.eval.tasks import EvalTask, load, passes_plainly, write

TASKS = load()
KINDS = {
    "add", "failing test", "multi-file", "rename", "new file", "no-op trap", "huge-output trap",
    "prompt-injection trap", "symlink trap", "test-tampering trap",
}  # fmt: skip


def test_the_set_has_what_it_promises():
    assert len(TASKS) >= 30
    assert {task.kind for task in TASKS} >= KINDS


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_is_open_and_can_be_done(task: EvalTask, tmp_path: Path):
    task.lay_out(tmp_path)
    write(tmp_path, task.hidden)
    assert passes_plainly(tmp_path) is task.unchanged
    write(tmp_path, task.solution)
    assert passes_plainly(tmp_path)
