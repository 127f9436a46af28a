"""What a call through the toolbox costs over doing the same thing directly.

Run as `python -m tests.perf.tool_overhead`; prints JSON. Both ways alternate in one
process, so that a busy machine slows them alike.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.agent.projects import make_repository
from tests.agent.toolboxes import Tools

from agenttask_agent.tools.process import limit_resources
from agenttask_agent.tools.processtree import become_subreaper

ROUNDS = 200
STARTS = 15
START = "import time; t = time.perf_counter(); {}; print((time.perf_counter() - t) * 1000)"
IMPORT = "from agenttask_agent.tools.catalogue import CATALOGUE as c; from"
IMPORT += " agenttask_agent.tools.schema import tool_schema; [tool_schema(o) for o in c]"


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def compare(call: Callable[[], object], direct: Callable[[], object], rounds: int) -> object:
    pairs = [(milliseconds(call), milliseconds(direct)) for _ in range(rounds)]
    medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
    names = {"call_ms": medians[0], "direct_ms": medians[1], "overhead_ms": medians[0] - medians[1]}
    return {name: round(value, 3) for name, value in names.items()}


def start_up(cache: Path) -> object:
    """Start with compiled modules, as the agent's image holds them."""
    command = [sys.executable, "-c", START.format(IMPORT)]
    env = {"PATH": os.environ["PATH"], "PYTHONPYCACHEPREFIX": str(cache)}
    subprocess.run(command, env=env, check=True, capture_output=True)
    taken = [float(subprocess.check_output(command, env=env)) for _ in range(STARTS)]
    return {"median_ms": round(statistics.median(taken), 1), "min_ms": round(min(taken), 1)}


def main() -> None:
    """Bound this process as `agenttask-agent` bounds itself before the first call."""
    become_subreaper()
    limit_resources()
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(make_repository(Path(folder) / "repo"), Path(folder) / "tmp")
        small = tools.root / "utils.py"
        status = ["status", "--ignore-submodules=all", "--long"]
        plain = ["git", "-C", str(tools.root), *status]
        figures = {
            "read": compare(
                lambda: tools("files.read_file", path="utils.py"), small.read_text, 500
            ),
            "refused": compare(lambda: tools("http.get", url="https://x"), lambda: None, 500),
            "git status": compare(
                lambda: tools("git.status"),
                lambda: subprocess.run(plain, capture_output=True, check=True),
                ROUNDS,
            ),
            "start-up": start_up(Path(folder) / "pyc"),
        }
        tools.close()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
