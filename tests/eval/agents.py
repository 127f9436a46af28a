"""Who is evaluated: the product through `agenttask run`, and a one-shot prompt."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml
from tests.eval.taskset import EvalTask, git, write

RUN_SECONDS = 300
ITERATIONS = 10
ONE_SHOT_TOKENS = 1200
ONE_SHOT = (
    "You change a project. For every file that you change or add, reply with a line"
    " `### path` and then its complete new content in one ``` block."
)
BLOCK = re.compile(r"^#+ *`?([\w./-]+)`?:?\s*\n+```[\w+-]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """How one task went. `false_success` and `wrong` are explained in docs/evaluation.md."""

    task: str
    passed: bool
    reason: str
    false_success: bool = False
    wrong: bool = False
    calls: int = 0
    operations: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Endpoint:
    """A model server."""

    url: str
    model: str


def run_product(task: EvalTask, endpoint: Endpoint, folder: Path) -> Row:
    """Run the task as a user would on this machine, and judge what it left."""
    repo, began = folder / "repo", time.monotonic()
    task.lay_out(repo)
    (folder / "task.yaml").write_text(yaml.safe_dump(task_file(task)), encoding="utf-8")
    argv = [sys.executable, "-m", "agenttask_cli", "run", "-f", folder / "task.yaml"]
    argv += ["--workspace", repo, "--model-url", endpoint.url, "--model-name", endpoint.model]
    argv += ["--output", folder / "out", "--json"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (folder / "run.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            list(map(str, argv)),
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=log,
            timeout=RUN_SECONDS + 120,
            check=False,
        )
    return judge(task, json.loads(done.stdout), repo, time.monotonic() - began)


def task_file(task: EvalTask) -> dict[str, object]:
    """Return the AgentTask: its verify command runs the visible tests."""
    return {
        "apiVersion": "agenttask.dev/v1alpha1",
        "kind": "AgentTask",
        "metadata": {"name": task.name},
        "spec": {
            "prompt": task.prompt,
            "repo": {"url": "https://git.example/eval.git"},
            "constraints": {"maxIterations": ITERATIONS},
            "limits": {"activeDeadlineSeconds": RUN_SECONDS},
            "verify": [{"name": "tests", "run": ["python3", "-m", "pytest", "-q"]}],
        },
    }


def judge(task: EvalTask, result: dict[str, object], repo: Path, seconds: float) -> Row:
    """Return the row of one result document and the branch it left."""
    artifacts, usage = result["artifacts"], result["usage"]
    assert isinstance(artifacts, dict)
    assert isinstance(usage, dict)
    success, changed = bool(result["success"]), artifacts["change"]["files_changed"]
    verification = result["verification"]
    verified = isinstance(verification, dict) and verification["passed"] is True
    failure = ""
    if success and changed:
        git(repo, "checkout", "-q", artifacts["change"]["commit_sha"])
        failure = task.hidden_failure(repo)
    if task.expect == "nothing":
        passed = not success and not changed and result["stop_reason"] == "NoChange"
    else:
        passed = success and bool(changed) and not failure
    operations = result["operations"]
    return Row(
        task.name,
        passed,
        f"hidden: {failure}" if failure else f"{result['stop_reason']}: {result['message']}",
        false_success=success and not (verified and changed),
        wrong=bool(failure),
        calls=usage["model_calls"],
        operations=len(operations) if isinstance(operations, list) else 0,
        tokens=usage["total_tokens"],
        seconds=round(seconds, 1),
    )


def run_one_shot(task: EvalTask, endpoint: Endpoint, folder: Path) -> Row:
    """Give every file in one prompt and let the model choose which to return."""
    repo, began = folder / "repo", time.monotonic()
    task.lay_out(repo)
    files = "\n".join(f"### {name}\n```\n{text}```\n" for name, text in task.files.items())
    body = {
        "model": endpoint.model,
        "messages": [
            {"role": "system", "content": ONE_SHOT},
            {"role": "user", "content": f"{files}\nTask: {task.prompt}"},
        ],
        "temperature": 0,
        "max_tokens": ONE_SHOT_TOKENS,
    }
    answer = httpx.post(f"{endpoint.url}/v1/chat/completions", json=body, timeout=RUN_SECONDS)
    answer.raise_for_status()
    said = answer.json()
    content = said["choices"][0]["message"]["content"]
    found = {
        name: text for name, text in BLOCK.findall(content) if ".." not in name and name[0] != "/"
    }
    write(repo, found)
    failure = task.hidden_failure(repo)
    changed = {name for name, text in found.items() if task.files.get(name) != text}
    passed = not changed if task.expect == "nothing" else bool(changed) and not failure
    reason = failure or f"returned {', '.join(found) or 'no file'}"
    tokens = said["usage"]["total_tokens"]
    seconds = round(time.monotonic() - began, 1)
    return Row(task.name, passed, reason, wrong=not passed, calls=1, tokens=tokens, seconds=seconds)
