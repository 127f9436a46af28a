"""The hash names the work: equal work, equal hash, across versions of the schema."""

import re
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agenttask_api.spec import CONTROL_FIELDS, AgentTaskSpec

MakeTask = Callable[..., AgentTaskSpec]
PINNED = "99593f4948a0be221e4adc6514124c3fb665947dcf78c705ba3bc24241605da8"


def is_control(leaf: Any) -> bool:
    return leaf.attribute in CONTROL_FIELDS and "." not in leaf.path


def test_hash_changes_with_each_work_field_only(task_leaf: Any, make_task: MakeTask) -> None:
    changed = make_task({task_leaf.path: task_leaf.sample})
    assert changed != make_task(), f"the sample for {task_leaf.path} must differ from the default"
    same = changed.spec_hash() == make_task().spec_hash()
    assert same == is_control(task_leaf), f"spec.{task_leaf.path} = {task_leaf.sample!r}"


def test_hash_ignores_a_default_that_is_written_out(task_leaf: Any, make_task: MakeTask) -> None:
    value: Any = make_task()
    for name in task_leaf.path.split("."):
        value = value.to_api().get(name) if not isinstance(value, dict) else value.get(name)
    if value is None:
        return
    assert make_task({task_leaf.path: value}).spec_hash() == make_task().spec_hash()


def test_hash_ignores_a_default_inside_a_list(make_task: MakeTask) -> None:
    bare = {"name": "unit", "run": ["make"]}
    full = {**bare, "timeoutSeconds": 600}
    other = {**bare, "timeoutSeconds": 601}
    hashes = [make_task({"verify": [step]}).spec_hash() for step in (bare, full, other)]
    assert hashes[0] == hashes[1], "600 is the default"
    assert hashes[0] != hashes[2], "601 is not"


def test_hash_sees_the_order_of_commands(make_task: MakeTask) -> None:
    steps = [{"name": "one", "run": ["x"]}, {"name": "two", "run": ["y"]}]
    forth, back = make_task({"setup": steps}), make_task({"setup": steps[::-1]})
    assert forth.spec_hash() != back.spec_hash()


@given(cpu=st.integers(min_value=0, max_value=10**6))
def test_hash_ignores_how_a_quantity_is_written(cpu: int, make_task: MakeTask) -> None:
    path = "limits.resources.limits"
    as_number, as_text = make_task({path: {"cpu": cpu}}), make_task({path: {"cpu": str(cpu)}})
    assert as_number.spec_hash() == as_text.spec_hash()


def test_hash_of_a_known_task_never_changes(make_task: MakeTask) -> None:
    """A different hash for stored work would make every task of a cluster run again."""
    assert make_task().spec_hash() == PINNED


def test_run_key_is_the_run_id_and_the_start_of_the_hash(make_task: MakeTask) -> None:
    task = make_task({"runID": "again-2"})
    assert task.run_key() == f"again-2-{task.spec_hash()[:8]}"
    assert re.fullmatch(r"[a-z0-9-]{1,29}", task.run_key()), "it is a label and a subject token"


def test_hash_that_was_asked_for_is_not_taken_over_by_a_copy(make_task: MakeTask) -> None:
    asked, silent = make_task(), make_task()
    before = asked.spec_hash()
    changed = asked.model_copy(update={"prompt": "something else"})
    assert changed.spec_hash() != before
    assert asked.spec_hash() == before
    assert asked == silent
    assert (asked.to_api(), hash(asked)) == (silent.to_api(), hash(silent))
