"""What the loop itself costs per step, and how long it takes until the first request.

Run as `python -m tests.perf.step_overhead`; prints JSON. The model answers in this
process at once, the tool is a real one; the time inside both is taken off. A step is
one reply with one call: budget, guard, transcript, audit, events, the conversation.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.agent.projects import make_repository
from tests.agent.toolboxes import Tools

from agenttask_agent import messages
from agenttask_agent.compaction import Compaction
from agenttask_agent.door import Door, open_client, wait_for_door
from agenttask_agent.limits import Budget, Limits
from agenttask_agent.loop import Loop
from agenttask_agent.messages import Message, Reply, ToolCall
from agenttask_agent.results import ToolResult
from agenttask_agent.transcript import Publish, Transcript

STEPS = 200
RUNS = 5
WINDOW = 10
STARTS = 7
START = """
import time
began = time.perf_counter()
import httpx
from agenttask_agent.run import run_agent
from agenttask_agent.models.openai import OpenAIModel, Sampling
from agenttask_agent.messages import user
body = {"choices": [{"message": {"role": "assistant", "content": "ok"}}]}
def answer(request):
    print(time.perf_counter() - began)
    return httpx.Response(200, json=body)
client = httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))
OpenAIModel(client, Sampling("m")).reply([user("hello")], [], required=False)
"""


DOOR = """
import sys
from aiohttp import web
async def event(request):
    await request.read()
    return web.Response(status=202)
app = web.Application()
app.add_routes([web.post("/events", event)])
web.run_app(app, path=sys.argv[1], print=None, access_log=None)
"""


@dataclass
class Clocked:
    """A model and a toolbox whose own time is added up."""

    tools: Tools
    thinking: Callable[[], None]
    """What happens while a real model would be writing."""
    outside: float = 0.0
    steps: list[float] = field(default_factory=list)
    """The loop's own time of each step, in seconds."""
    since: float = field(default_factory=time.perf_counter)

    def reply(self, *_: object, **__: object) -> Reply:
        now = time.perf_counter()
        self.steps.append(now - self.since - self.outside)
        number = len(self.steps)
        looking: dict[str, object] = {"path": ".", "pattern": f"*{number}*"}
        call = ToolCall(f"c{number}", "files_list_files", looking)
        if number > STEPS:
            call = ToolCall(f"c{number}", "finish", {"summary": "done"})
        self.thinking()
        self.outside, self.since = 0.0, time.perf_counter()
        return Reply("Reading on.", calls=(call,), input_tokens=100 * number, output_tokens=20)

    def schemas(self) -> list[Message]:
        return self.tools.toolbox.schemas()

    def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        return self._outside(lambda: self.tools.toolbox.call(name, arguments))

    def joins(self, name: str) -> bool:
        return self.tools.toolbox.joins(name)

    def call_together(
        self, calls: Sequence[tuple[str, dict[str, object]]]
    ) -> tuple[ToolResult, ...]:
        return tuple(self.call(name, arguments) for name, arguments in calls)

    def edits(self, name: str) -> bool:
        return self.tools.toolbox.edits(name)

    def review(self) -> str:
        return ""

    def _outside(self, work: Callable[[], ToolResult]) -> ToolResult:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.outside += time.perf_counter() - began


def one_run(publish: Publish, thinking: Callable[[], None]) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(make_repository(Path(folder) / "repo"), Path(folder) / "tmp")
        clocked = Clocked(tools, thinking)
        recorder = Transcript(Path(folder) / "transcript.jsonl", publish)
        budget = Budget(Limits(STEPS + 10, STEPS + 10, 10**9))
        loop = Loop(clocked, clocked, recorder, budget, compaction=Compaction(10**9))
        outcome = loop.run([messages.system("s" * 2000), messages.user("the task")])
        tools.close()
    if outcome.reason != "Completed":
        raise SystemExit(f"the run ended otherwise: {outcome}")
    return [seconds * 1000 for seconds in clocked.steps[1:STEPS]]


def at(runs: Sequence[Sequence[float]], step: int) -> float:
    """Return the median over all runs of the steps around one."""
    near = [run[i] for run in runs for i in range(step - WINDOW, step + WINDOW)]
    return round(statistics.median(near), 3)


def start_up() -> object:
    taken = [float(subprocess.check_output([sys.executable, "-c", START])) for _ in range(STARTS)]
    return {"median_s": round(statistics.median(taken), 3), "min_s": round(min(taken), 3)}


def per_step(publish: Publish, thinking: Callable[[], None] = lambda: None) -> object:
    runs = [one_run(publish, thinking) for _ in range(RUNS)]
    return {f"step {n}": at(runs, n) for n in (WINDOW, 50, 100, STEPS - WINDOW - 1)}


@contextlib.contextmanager
def door() -> Iterator[Door]:
    """Give a door in another process that takes events and forgets them."""
    with tempfile.TemporaryDirectory(prefix="door-") as folder:
        socket = Path(folder) / "door.sock"
        process = subprocess.Popen([sys.executable, "-c", DOOR, str(socket)])
        try:
            wait_for_door(socket, 20)
            with open_client(socket) as client:
                yield Door(client)
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    figures = {"overhead_ms": per_step(lambda _: None)}
    with door() as way_out:
        figures["overhead_with_events_ms"] = per_step(way_out.tell, way_out.flush)
        if way_out.lost_events:
            raise SystemExit(f"{way_out.lost_events} events were lost")
    figures["import to first request"] = start_up()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
