"""The evaluation's tasks are sound: unsolved as they are, solved by their solution."""

from pathlib import Path

import pytest
from tests.eval.taskset import EvalTask, all_tasks, write

TASKS = list(all_tasks())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_hidden_tests_tell_the_solution_from_the_untouched_repository(
    task: EvalTask, tmp_path: Path
):
    folder = tmp_path / "repo"
    task.lay_out(folder)
    untouched = task.hidden_failure(folder)
    write(folder, task.solution)
    assert task.hidden_failure(folder) == ""
    assert bool(untouched) == (task.expect == "change")


def test_there_are_at_least_thirty_tasks_and_every_trap():
    kinds = {task.kind for task in TASKS}
    assert len(TASKS) >= 30
    traps = {"no-op", "prompt-injection", "huge-output", "symlink", "test-tampering"}
    assert {f"{trap} trap" for trap in traps} <= kinds
    assert {"multi-file", "failing test", "rename", "new file"} <= kinds


def test_changing_what_must_stay_is_no_solution(tmp_path: Path):
    task = next(task for task in TASKS if task.untouched)
    task.lay_out(tmp_path / "repo")
    write(tmp_path / "repo", {**task.solution, task.untouched[0]: "def test_nothing(): pass\n"})
    assert task.hidden_failure(tmp_path / "repo") == f"changed {task.untouched[0]}"
