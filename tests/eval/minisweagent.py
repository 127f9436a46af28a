"""Who is evaluated: mini-swe-agent from PyPI, in its own environment, on the same server and tasks.

In its text mode, in which the model writes one command in a fence: its default mode needs
native tool calls, which models of this size do not make unasked.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.eval.agents import RUN_SECONDS, Endpoint, Row
from tests.eval.taskset import EvalTask, git

VERSION = "2.4.6"
ENVIRONMENT = Path.home() / ".cache" / "agenttask" / "eval" / f"mini-swe-agent-{VERSION}"
PACKAGES = (f"mini-swe-agent=={VERSION}", "mcp")
"""litellm imports mcp and does not say so."""
STEPS = 15
REPLY_TOKENS = 1200
SUBMITTED = "Submitted"


def run_mini(task: EvalTask, endpoint: Endpoint, folder: Path) -> Row:
    """Have it work in the repository, and judge what it left by the hidden tests."""
    repo, began = folder / "repo", time.monotonic()
    task.lay_out(repo)
    trajectory, status = folder / "trajectory.json", ""
    try:
        subprocess.run(
            command(task, endpoint, trajectory),
            cwd=repo,
            env=environment(endpoint, folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        status = f"not ended after {RUN_SECONDS} s"
    written = _read(trajectory)
    status = status or str(written.get("info", {}).get("exit_status", "it left no trajectory"))
    return judge(task, repo, written, status, time.monotonic() - began)


def install() -> None:
    """Make its environment, once."""
    if (ENVIRONMENT / "bin" / "mini").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *PACKAGES], check=True)


def command(task: EvalTask, endpoint: Endpoint, trajectory: Path) -> list[str]:
    """Return its command line: no questions to a person, a bounded number of steps."""
    settings = (
        "mini_textbased.yaml",
        f"agent.step_limit={STEPS}",
        "model.model_kwargs.temperature=0",
        f"model.model_kwargs.max_tokens={REPLY_TOKENS}",
    )
    argv = [str(ENVIRONMENT / "bin" / "mini"), "--task", task.prompt, "--yolo"]
    argv += ["--exit-immediately", "--model", f"openai/{endpoint.model}"]
    argv += ["--model-class", "litellm_textbased", "--output", str(trajectory)]
    return argv + [part for setting in settings for part in ("--config", setting)]


def environment(endpoint: Endpoint, folder: Path) -> dict[str, str]:
    """Return what it needs to reach the server and to stay on this machine."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(folder),
        "TERM": "dumb",
        "OPENAI_API_BASE": f"{endpoint.url}/v1",
        "OPENAI_API_KEY": "none",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "MSWEA_CONFIGURED": "true",
        "MSWEA_COST_TRACKING": "ignore_errors",
    }


def judge(task: EvalTask, repo: Path, written: dict[str, Any], status: str, seconds: float) -> Row:
    """Return the row of what is in the repository now, committed or not."""
    failure = task.hidden_failure(repo)
    first = git(repo, "rev-list", "--max-parents=0", "HEAD")
    changed = bool(git(repo, "status", "--porcelain") or git(repo, "diff", "--name-only", first))
    passed = not changed if task.expect == "nothing" else changed and not failure
    info = written.get("info", {})
    return Row(
        task.name,
        passed,
        f"{status}: {failure or ('changed' if changed else 'changed nothing')}",
        false_success=status == SUBMITTED and not changed and task.expect != "nothing",
        wrong=status == SUBMITTED and changed and not passed,
        calls=int(info.get("model_stats", {}).get("api_calls", 0)),
        tokens=tokens_of(written),
        seconds=round(seconds, 1),
    )


def tokens_of(written: dict[str, Any]) -> int:
    """Return the tokens of all answers that a trajectory holds."""
    responses = [m.get("extra", {}).get("response", {}) for m in written.get("messages", ())]
    usages = [r.get("usage") or {} for r in responses if isinstance(r, dict)]
    return sum(int(usage.get("total_tokens", 0)) for usage in usages)


def _read(trajectory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(trajectory.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found
