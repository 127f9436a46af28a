"""The trusted half in the real pod: what it stops, and how soon."""

import json
import subprocess
from datetime import UTC, datetime, timedelta

from tests.e2e.tasks import PYTEST, Home, eventually, pods, task, until

HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'
SLOW = "Take your time and add the greeting to utils.py."
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
    """The courier's log is followed: the pod is gone before it could be read."""
    home.apply(task("stopped", SLOW, verify=[PYTEST]))
    until(home, "stopped", phase="Running")
    pod, kubectl = pods(home, "stopped")[0]["metadata"]["name"], home.kubectl
    where = ("--kubeconfig", kubectl.kubeconfig, "-n", home.namespace)
    argv = [kubectl.path, *where, "logs", "-f", pod, "-c", "courier"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as following:
        cancelled = datetime.now(UTC)
        home.run("patch", "agenttask", "stopped", "--type=merge", "-p", '{"spec":{"cancel":true}}')
        said, _ = following.communicate(timeout=120)

    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    closed = [e["ts"] for e in events if e["event"] == "gate.closed"]
    assert len(closed) == 1
    assert datetime.fromisoformat(closed[0]) - cancelled < timedelta(seconds=5)
    until(home, "stopped", phase="Cancelled", reason="Cancelled")
    eventually(lambda: not pods(home, "stopped"), 90, "the pod to go")
