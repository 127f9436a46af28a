"""The trusted half in the real pod: what it stops, and how soon."""

import json
import subprocess
from datetime import UTC, datetime

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


ATTEMPTS = 3
"""The bound is for a cluster that has time: a test machine may be busy with other things."""


def test_no_model_is_asked_five_seconds_after_a_cancel(home: Home) -> None:
    taken: list[float] = []
    while not taken or (taken[-1] > 5 and len(taken) < ATTEMPTS):
        taken.append(seconds_until_closed(home, f"stopped-{len(taken)}"))
    assert taken[-1] <= 5, f"seconds from the cancel to the closed gate: {taken}"


def seconds_until_closed(home: Home, name: str) -> float:
    """Cancel a task; return after how long its gate let no further call through.

    The courier's log is followed, since the pod is gone before it could be read.
    """
    home.apply(task(name, SLOW, verify=[PYTEST]))
    until(home, name, phase="Running")
    pod, kubectl = pods(home, name)[0]["metadata"]["name"], home.kubectl
    where = ("--kubeconfig", kubectl.kubeconfig, "-n", home.namespace)
    argv = [kubectl.path, *where, "logs", "-f", pod, "-c", "courier"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as following:
        cancelled = datetime.now(UTC)
        home.run("patch", "agenttask", name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
        said, _ = following.communicate(timeout=120)
    until(home, name, phase="Cancelled", reason="Cancelled")
    eventually(lambda: not pods(home, name), 90, "the pod to go")
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    closed = [e["ts"] for e in events if e["event"] == "gate.closed"]
    assert len(closed) == 1
    return (datetime.fromisoformat(closed[0]) - cancelled).total_seconds()
