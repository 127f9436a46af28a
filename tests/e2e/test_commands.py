"""The commands of `agenttask` against the real cluster."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.e2e.tasks import PYTEST, Home, eventually, finished, status, task

from agenttask_testbed.commands import ROOT

HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'
SLOW = "Take your time and add the greeting to utils.py."
SECONDS = 120


@pytest.fixture
def agenttask(home: Home, tmp_path: Path):
    """Run the command in the test's namespace; returns (exit code, stdout, stderr)."""

    def call(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        argv = [sys.executable, "-m", "agenttask_cli", *arguments]
        done = subprocess.run(
            argv, env=environment(home, tmp_path), cwd=tmp_path, input=stdin,
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return call


def environment(home: Home, folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "KUBECONFIG": home.kubectl.kubeconfig,
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def heed_ctrl_c() -> None:
    """Undo what a shell does to background jobs, which would ignore it with all their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_submit_waits_and_report_tells_the_story(home: Home, agenttask, tmp_path: Path):
    manifest = yaml.safe_dump(task("greet", HELLO, verify=[PYTEST]))
    code, out, err = agenttask("submit", "-n", home.namespace, "-f", "-", "--wait", stdin=manifest)
    assert (code, err) == (0, ""), (out, err)
    lines = out.splitlines()
    assert lines[0] == f"agenttask.agenttask.dev/greet applied in {home.namespace}"
    assert lines[-1].startswith("Succeeded Verified Completed")

    state = status(home, "greet")
    code, out, _ = agenttask("report", "greet", "-n", home.namespace)
    assert code == 0
    assert state["artifacts"]["commitSHA"][:12] in out
    assert "4 passed, 0 failed, 0 skipped" in out
    assert "Ready=True" in out

    code, out, _ = agenttask("logs", "greet", "-n", home.namespace, "-c", "courier")
    assert code == 0
    assert '"event": "settled"' in out

    code, out, _ = agenttask("watch", "greet", "-n", home.namespace)
    assert (code, len(out.splitlines())) == (0, 1)

    code, out, err = agenttask(
        "submit", "-n", home.namespace, "-f", "-", stdin=manifest.replace("Hello,", "Bye,")
    )
    assert code == 1
    assert "change spec.runID" in err


def test_cancel_ends_a_running_task(home: Home, agenttask):
    home.apply(task("slow", SLOW))
    eventually(lambda: status(home, "slow").get("phase") == "Running", 60, "slow to run")
    code, out, _ = agenttask("cancel", "slow", "-n", home.namespace)
    assert (code, out) == (0, "agenttask.agenttask.dev/slow is being cancelled\n")
    assert finished(home, "slow")["phase"] == "Cancelled"
    assert agenttask("watch", "slow", "-n", home.namespace)[0] == 1


def test_watch_ends_with_ctrl_c_and_leaves_the_task_alone(home: Home, tmp_path: Path):
    home.apply(task("watched", HELLO, suspend=True))
    with subprocess.Popen(
        [sys.executable, "-m", "agenttask_cli", "watch", "watched", "-n", home.namespace],
        env=environment(home, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_ctrl_c,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()
    assert status(home, "watched").get("phase") != "Cancelled"


def test_doctor_finds_the_cluster_in_order(agenttask):
    """Other tests' classes name models that do not exist: those findings are theirs."""
    code, out, err = agenttask("doctor")
    bad = [line for line in out.splitlines() if line.startswith("BAD")]
    assert (code, err) == (1 if bad else 0, "")
    assert all(line.startswith("BAD  class ") for line in bad), out
    assert not [line for line in bad if line.startswith("BAD  class default:")], out
    assert "ok   resource definitions are installed" in out
    assert "ok   default class: default" in out
    assert "ok   class default: Ready=True" in out
    assert "2 of 2 ready" in out


def test_mistakes_are_answered_with_words(home: Home, agenttask, tmp_path: Path):
    assert agenttask("watch", "nobody", "-n", home.namespace) == (
        1, "", "agenttask: AgentTask 'nobody' not found\n",
    )  # fmt: skip
    (tmp_path / "bad.yaml").write_text("kind: AgentTask\n", encoding="utf-8")
    assert agenttask("submit", "-f", "bad.yaml")[0] == 2


def test_diff_shows_what_a_task_has_pushed(home: Home, agenttask, tmp_path: Path):
    """The testbed's git server is in the cluster: the user's git finds a copy of it here."""
    from tests.e2e.test_local_run import copy_of_the_remote

    home.apply(task("shown", HELLO))
    state = finished(home, "shown")
    url = yaml.safe_load((ROOT / "examples/hello-world.yaml").read_text("utf-8"))
    remote = copy_of_the_remote(home.kubectl, tmp_path, state["artifacts"]["branch"])
    text = f'[url "{remote}"]\n\tinsteadOf = {url["spec"]["repo"]["url"]}\n'
    (tmp_path / ".gitconfig").write_text(text, encoding="utf-8")
    code, out, err = agenttask("diff", "shown", "-n", home.namespace)
    assert (code, err) == (0, "")
    assert "+def hello_world():" in out
