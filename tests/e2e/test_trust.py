"""The trusted half in the real pod: what it stops, and how soon."""

from tests.e2e.cancels import cancel_a_busy_task
from tests.e2e.tasks import Home, pods, task, until

HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'
FILL = (
    "open('utils.py', 'a').write('# kept\\n'); open('junk', 'wb').write(b'x' * (56 << 20));"
    "import time; time.sleep(8)"
)


def test_a_workspace_that_fills_up_ends_the_run_and_its_work_is_kept(home: Home) -> None:
    fill = {"name": "fill", "run": ["python3", "-c", FILL]}
    home.apply(task("filling", HELLO, setup=[fill], limits={"workspaceSize": "64Mi"}))

    state = until(home, "filling", phase="Failed", reason="WorkspaceFull")

    assert "80 % of limits.workspaceSize" in state["message"]
    assert "change.patch" in {ref["name"] for ref in state["artifacts"]["refs"]}
    assert len(pods(home, "filling")) == 1


def test_no_model_is_asked_five_seconds_after_a_cancel(home: Home) -> None:
    told = cancel_a_busy_task(home, "stopped")

    until(home, "stopped", phase="Cancelled", reason="Cancelled")
    assert len(told.asked_before) >= 3
    assert [after for after in told.asked_after if after > 5] == []
    assert told.gate_closed <= 5
