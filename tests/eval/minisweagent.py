"""The baseline mini-swe-agent from PyPI, in its own environment, on the same server and tasks.

Its text mode: the model writes one command in a fence. The default mode needs native tool
calls, which models of this size do not make unasked. At most STEPS commands.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.eval.score import Claim
from tests.eval.tasks import EvalTask

ENVIRONMENT = Path.home() / ".cache" / "agenttask" / "eval" / "mini-2.4.6"
PACKAGES = ("mini-swe-agent==2.4.6", "mcp")
"""litellm imports mcp and does not say so."""
STEPS = 15
SECONDS = 900
REPLY_TOKENS = 1500


def run(task: EvalTask, repo: Path, folder: Path, model_url: str, model_name: str) -> Claim:
    """Have mini-swe-agent work in the repository; it claims success by submitting."""
    install()
    trajectory = folder / "trajectory.json"
    argv = [str(ENVIRONMENT / "bin" / "mini"), "--task", task.prompt, "--yolo",
            "--exit-immediately", "--model", f"openai/{model_name}",
            "--model-class", "litellm_textbased", "--output", str(trajectory),
            "--config", "mini_textbased.yaml", "--config", f"agent.step_limit={STEPS}",
            "--config", "model.model_kwargs.temperature=0",
            "--config", f"model.model_kwargs.max_tokens={REPLY_TOKENS}"]  # fmt: skip
    started = time.monotonic()
    try:
        subprocess.run(
            argv,
            cwd=repo,
            env=environment(model_url, folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Claim(False, f"not ended after {SECONDS} s", seconds=time.monotonic() - started)
    return claim_of(trajectory, time.monotonic() - started)


def install() -> None:
    """Make its environment, once."""
    if (ENVIRONMENT / "bin" / "mini").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *PACKAGES], check=True)


def environment(model_url: str, folder: Path) -> dict[str, str]:
    """Return what it needs to reach the server and to stay on this machine."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "dumb",
        "OPENAI_API_BASE": f"{model_url}/v1",
        "OPENAI_API_KEY": "none",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "MSWEA_CONFIGURED": "true",
        "MSWEA_COST_TRACKING": "ignore_errors",
    }


def claim_of(trajectory: Path, seconds: float) -> Claim:
    """Return what its trajectory says."""
    try:
        written: dict[str, Any] = json.loads(trajectory.read_text("utf-8"))
    except (OSError, ValueError):
        return Claim(False, "it left no trajectory", seconds=seconds)
    info = written.get("info", {})
    status = str(info.get("exit_status", ""))
    calls = int(info.get("model_stats", {}).get("api_calls", 0))
    return Claim(status == "Submitted", status, calls, tokens_of(written), seconds)


def tokens_of(written: dict[str, Any]) -> int:
    """Return the tokens of all answers that the trajectory holds."""
    responses = [m.get("extra", {}).get("response", {}) for m in written.get("messages", ())]
    usages = [r.get("usage") or {} for r in responses if isinstance(r, dict)]
    return sum(int(usage.get("total_tokens", 0)) for usage in usages)
