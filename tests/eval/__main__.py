"""`make eval`: run the tasks against an endpoint, print a table, keep a JSON.

`python -m tests.eval --model-url URL [--model-name NAME] [--agent product|one-shot|mini-swe-agent]
[--only TEXT] [--jobs N] [--output FILE]`
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import httpx
from tests.eval.agents import Endpoint, Row, run_one_shot, run_product
from tests.eval.minisweagent import install, run_mini
from tests.eval.taskset import EvalTask, all_tasks

AGENTS = {"product": run_product, "one-shot": run_one_shot, "mini-swe-agent": run_mini}


def main() -> int:
    """Run the evaluation and return 0 unless the product had a false success."""
    arguments = _arguments()
    endpoint = Endpoint(
        arguments.model_url, arguments.model_name or _only_model(arguments.model_url)
    )
    tasks = [task for task in all_tasks() if arguments.only in task.name]
    done: dict[str, list[Row]] = {}
    for agent in arguments.agent or AGENTS:
        if agent == "mini-swe-agent":
            install()
        print(f"\n{agent}, {len(tasks)} tasks, {endpoint.model}", flush=True)
        done[agent] = _run_all(agent, tasks, endpoint, arguments.jobs)
        print(summary(done[agent]))
        _keep(arguments.output, endpoint, done)
    return 1 if any(row.false_success for row in done.get("product", ())) else 0


def summary(rows: Sequence[Row]) -> str:
    """Return the last line of a table."""
    passed = sum(row.passed for row in rows)
    false, wrong = (sum(getattr(r, name) for r in rows) for name in ("false_success", "wrong"))
    tokens, calls = sum(row.tokens for row in rows), sum(row.calls for row in rows)
    counts = f"{passed} of {len(rows)} passed, {false} false successes, {wrong} wrong"
    return f"{counts}; {calls} calls, {tokens} tokens"


def line(row: Row) -> str:
    """Return one line of a table."""
    state = (
        "FALSE" if row.false_success else "passed" if row.passed else "wrong" if row.wrong else "no"
    )
    numbers = (
        f"{row.calls:3} calls {row.operations:3} ops {row.tokens:6} tokens {row.seconds:6.1f} s"
    )
    return f"{state:6} {row.task:26} {numbers}  {row.reason[:90]}"


def _run_all(agent: str, tasks: Sequence[EvalTask], endpoint: Endpoint, jobs: int) -> list[Row]:
    def one(task: EvalTask) -> Row:
        with tempfile.TemporaryDirectory(prefix="eval-") as folder:
            try:
                row = AGENTS[agent](task, endpoint, Path(folder))
            except Exception as error:
                row = Row(task.name, False, f"{type(error).__name__}: {error}")
        print(line(row), flush=True)
        return row

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, tasks))


def _keep(path: Path, endpoint: Endpoint, done: dict[str, list[Row]]) -> None:
    rows = {agent: [asdict(row) for row in found] for agent, found in done.items()}
    path.write_text(
        json.dumps({"model": endpoint.model, "agents": rows}, indent=1), encoding="utf-8"
    )


def _only_model(url: str) -> str:
    return str(httpx.get(f"{url}/v1/models", timeout=10).json()["data"][0]["id"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.eval")
    parser.add_argument("--model-url", required=True)
    parser.add_argument("--model-name", default="")
    parser.add_argument("--agent", action="append", choices=AGENTS)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--output", type=Path, default=Path("eval.json"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
