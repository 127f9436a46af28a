"""The product on one task: `agenttask run`, as a user calls it."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from tests.eval.score import Claim
from tests.eval.tasks import EvalTask, git

SECONDS = 900
BRANCH = "agenttask/eval"


def run(task: EvalTask, repo: Path, folder: Path, model_url: str, model_name: str) -> Claim:
    """Run the task on the repository and check out what it made."""
    file = folder / "task.yaml"
    file.write_text(yaml.safe_dump(resource(task)), "utf-8")
    argv = [sys.executable, "-m", "agenttask_cli", "run", "-f", str(file), "--json",
            "--workspace", str(repo), "--model-url", model_url, "--output", str(folder / "out"),
            *(["--model-name", model_name] if model_name else [])]  # fmt: skip
    started = time.monotonic()
    try:
        done = subprocess.run(argv, capture_output=True, cwd=folder, timeout=SECONDS + 60)
    except subprocess.TimeoutExpired:
        return Claim(False, "the command did not end", seconds=time.monotonic() - started)
    seconds = time.monotonic() - started
    if BRANCH in git(repo, "branch", "--list", "--format=%(refname:short)").split():
        git(repo, "checkout", "--quiet", BRANCH)
    try:
        return claim_of(json.loads(done.stdout), seconds)
    except (ValueError, KeyError):
        return Claim(False, done.stderr.decode("utf-8", "replace")[-200:], seconds=seconds)


def resource(task: EvalTask) -> dict[str, Any]:
    """Return the task as an AgentTask: what the agent sees is what verify runs."""
    spec: dict[str, Any] = {
        "prompt": task.prompt,
        "repo": {"url": "https://git.example.invalid/eval.git"},
        "output": {"branch": BRANCH},
        "limits": {"activeDeadlineSeconds": SECONDS},
    }
    if task.has_tests:
        tests = {"name": "tests", "run": ["python3", "-m", "pytest", "-q"]}
        spec["verify"] = [tests]
    return {
        "apiVersion": "agenttask.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": "eval", "namespace": "default"},
        "spec": spec,
    }


def claim_of(result: dict[str, Any], seconds: float) -> Claim:
    """Return what a result document claims."""
    usage = result.get("usage", {})
    reason = result.get("error") or result.get("message") or result["stop_reason"]
    return Claim(
        bool(result["success"]),
        f"{result['stop_reason']} {result.get('verdict', '')}: {reason}",
        int(usage.get("model_calls", 0)),
        int(usage.get("total_tokens", 0)),
        seconds,
    )
