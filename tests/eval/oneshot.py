"""The baseline without an agent: one prompt with every file, one answer with whole files.

The model chooses which files to return. An answer without a path counts for the only file
that is no test, which is as kind as it can be read.
"""

import re
import time
from pathlib import Path
from typing import Any

import httpx
from tests.eval.score import Claim
from tests.eval.tasks import EvalTask, write

PROMPT = """{files}

Task: {task}

Return every file that must change or be created: first a line with its path, then its
complete new content in a ``` fence. Keep everything that the task does not speak of.
Return nothing else."""
ANSWER = re.compile(r"(?:^|\n)[#*\s`]*([\w./-]+\.\w+)[`:* ]*\n+```[a-z]*\n(.*?)\n?```", re.DOTALL)
FENCE = re.compile(r"```[a-z]*\n(.*?)\n?```", re.DOTALL)
MAX_TOKENS = 1500


def run(task: EvalTask, repo: Path, _folder: Path, model_url: str, model_name: str) -> Claim:
    """Ask once, write what came back, and claim that it is done if anything did."""
    started = time.monotonic()
    body = ask(model_url, model_name, PROMPT.format(files=listed(task), task=task.prompt))
    files = files_of(body["choices"][0]["message"]["content"] or "", task)
    write(repo, files)
    said = "wrote " + ", ".join(files) if files else "no file in the answer"
    tokens = int(body["usage"]["total_tokens"])
    return Claim(bool(files), said, 1, tokens, time.monotonic() - started)


def listed(task: EvalTask) -> str:
    """Return every file of the repository, each in a fence."""
    return "\n\n".join(f"{name}\n```\n{text}```" for name, text in task.files.items())


def files_of(answer: str, task: EvalTask) -> dict[str, str]:
    """Return the files that an answer holds; paths that lead out of the repository are not."""
    found = {name: text + "\n" for name, text in ANSWER.findall(answer)}
    if not found:
        own = [name for name in task.files if not Path(name).name.startswith("test_")]
        code = FENCE.findall(answer)
        found = {own[0]: code[0] + "\n"} if len(own) == 1 and code else {}
    return {n: t for n, t in found.items() if not n.startswith("/") and ".." not in n.split("/")}


def ask(model_url: str, model_name: str, prompt: str) -> dict[str, Any]:
    """Return the body of one chat completion."""
    body = {
        "model": model_name,
        "messages": [{"role": "user", "content": prompt}],
        "max_completion_tokens": MAX_TOKENS,
        "temperature": 0,
    }
    response = httpx.post(f"{model_url}/v1/chat/completions", json=body, timeout=600)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer
