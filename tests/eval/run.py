"""Runs the evaluation against any endpoint: `python -m tests.eval.run --model-url URL`.

Prints a row as each try ends, then the table, and keeps all of it as JSON.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import httpx
from tests.eval import minisweagent, oneshot, ours
from tests.eval.score import Claim, Row, as_table, judge
from tests.eval.tasks import EvalTask, commit, load

Harness = Callable[[EvalTask, Path, Path, str, str], Claim]
HARNESSES: dict[str, Harness] = {
    "agenttask": ours.run,
    "one-shot": oneshot.run,
    "mini": minisweagent.run,
}


def main() -> int:
    given = parser().parse_args()
    url = given.model_url.rstrip("/").removesuffix("/v1")
    name = given.model_name or first_model(url)
    rows: list[Row] = []
    for harness in given.harness or list(HARNESSES):
        for task in load(tuple(given.task)):
            rows.append(attempt(task, harness, url, name))
            print(json.dumps(asdict(rows[-1])), file=sys.stderr, flush=True)
            keep(given.output, name, rows)
    print(as_table(rows))
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="make eval", description=__doc__.split("\n")[0])
    made.add_argument("--model-url", required=True)
    made.add_argument("--model-name", default="", help="default: the first that is served")
    made.add_argument("--harness", action="append", choices=list(HARNESSES), default=[])
    made.add_argument("--task", action="append", default=[], help="only these")
    made.add_argument("--output", type=Path, default=Path("eval-results.json"))
    return made


def first_model(url: str) -> str:
    """Return the first model of an endpoint."""
    return str(httpx.get(f"{url}/v1/models", timeout=30).raise_for_status().json()["data"][0]["id"])


def attempt(task: EvalTask, harness: str, url: str, model: str) -> Row:
    """Give a fresh copy of the task to a harness and judge what it leaves."""
    with tempfile.TemporaryDirectory(prefix="agenttask-eval-") as name:
        folder = Path(name)
        repo = folder / "repo"
        repo.mkdir()
        task.lay_out(repo)
        commit(repo)
        claim = HARNESSES[harness](task, repo, folder, url, model)
        return judge(task, harness, claim, repo, folder)


def keep(path: Path, model: str, rows: list[Row]) -> None:
    """Write everything so far, so that a run that is ended leaves what it has."""
    made = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "model": model}
    path.write_text(json.dumps(made | {"rows": [asdict(row) for row in rows]}, indent=1), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
