"""A repository, a task, the rehearsal server and a door, all real."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.agent.cells import pytest_pyfunc_call as pytest_pyfunc_call
from tests.agent.door import DoorDouble, serving
from tests.agent.projects import PROJECT, make_repository
from tests.agent.toolboxes import Tools

import agenttask_agent
import agenttask_api
from agenttask_agent.rehearsal.script import Script, load_script, parse_script
from agenttask_agent.rehearsal.server import make_app
from agenttask_agent.tools import process
from agenttask_api.taskdocument import TaskDocument

ROOT = Path(__file__).parents[2]
REHEARSALS = ROOT / "examples" / "rehearsals"
MODEL = "Qwen/Qwen3-0.6B"
PACKAGES = os.pathsep.join(
    str(Path(str(package.__file__)).parents[1]) for package in (agenttask_agent, agenttask_api)
)
DOCUMENT: dict[str, Any] = {
    "identity": {
        "namespace": "team",
        "name": "hello",
        "uid": "5f0c6f0e-0000-4000-8000-000000000001",
        "runID": "1",
        "runKey": "1-abcdef01",
    },
    "role": "DEV",
    "prompt": "Add function hello_world() to utils.py",
    "repo": {"url": "https://git.example/demo.git"},
    "model": {"name": MODEL, "profile": "Large"},
    "constraints": {},
    "output": {},
    "artifacts": {},
    "clocks": {"runSeconds": 600, "flushSeconds": 900, "graceSeconds": 60},
}


def make_document(**changes: Any) -> TaskDocument:
    """Return the reference task with top-level fields replaced."""
    return TaskDocument.model_validate({**DOCUMENT, **changes})


def script_of(*replies: Mapping[str, Any], match: str = ".") -> Script:
    """Return a rehearsal of one conversation."""
    conversation = {"match": match, "replies": list(replies)}
    return parse_script(yaml.safe_dump({"model": MODEL, "conversations": [conversation]}))


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """Return a scripted reply with one tool call."""
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


FINISH = (call("finish", summary="done"), call("finish", summary="done"))


@dataclass
class Pod:
    """What the agent finds in its container, and the agent itself as a process."""

    root: Path
    door: DoorDouble
    document: TaskDocument
    arguments: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    @property
    def repo(self) -> Path:
        return self.root / "workspace" / "repo"

    def path(self) -> str:
        """Return the program path of the agent, unless `env` has another."""
        return _path()

    def start(self) -> "subprocess.Popen[str]":
        """Start `agenttask-agent run`; the caller ends it."""
        (self.root / "task.json").write_text(self.document.model_dump_json(by_alias=True))
        for name in ("home", "tmp"):
            (self.root / name).mkdir(exist_ok=True)
        command = [sys.executable, "-m", "agenttask_agent", "run"]
        places = {
            "--task": self.root / "task.json",
            "--door": self.door.socket,
            "--repo": self.repo,
            "--home": self.root / "home",
            "--tmp": self.root / "tmp",
        }
        command += [str(part) for pair in places.items() for part in pair]
        command += ["--door-seconds=5", "--model-pause=0.01", *self.arguments]
        env = {"PATH": _path(), "PYTHONPATH": PACKAGES, **self.env}
        return subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self) -> tuple[int, str]:
        """Run the agent to its end; return exit code and output."""
        with ended(self.start()) as process:
            output, _ = process.communicate(timeout=60)
            return process.returncode, output


@contextlib.contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """End a process when the test is over, however that happens."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


MakePod = Callable[..., Pod]


@pytest.fixture
def make_pod(tmp_path: Path) -> Iterator[MakePod]:
    """Make a pod around scripts; its servers end with the test."""
    with contextlib.ExitStack() as stack:

        def make(*scripts: Script, project: Mapping[str, str] | None = None, **task: Any) -> Pod:
            upstream = stack.enter_context(serving(make_app(scripts)))
            # A socket's path may have 107 bytes, and tmp_path is often longer.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="door-")))
            door = DoorDouble(folder / "door.sock", upstream)
            stack.enter_context(serving(door.app(), door.socket))
            repo = tmp_path / "workspace" / "repo"
            make_repository(repo, project) if project else make_repository(repo)
            return Pod(tmp_path, door, make_document(**task))

        yield make


@pytest.fixture
def hello_world() -> Script:
    """The product's own rehearsal of the reference task."""
    return load_script(REHEARSALS / "hello-world.yaml").model_copy(update={"model": MODEL})


@pytest.fixture(scope="module")
def as_if_bounded() -> Iterator[None]:
    """Start programs as the agent does, which has bounded itself, and they inherit that.

    Otherwise each start forks this whole process to set the bounds, which costs more than
    the git that it is for. Bounds themselves are tested in `test_processes.py`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "is_limited", lambda: True)
        yield


MakeTools = Callable[..., Tools]


@pytest.fixture
def make_tools(tmp_path: Path) -> Iterator[MakeTools]:
    """Make a toolbox on a new repository; `files` and policy options as keywords."""
    with contextlib.ExitStack() as stack:

        def make(files: Mapping[str, str] = PROJECT, **options: Any) -> Tools:
            tools = Tools(make_repository(tmp_path / "repo", files), tmp_path / "tmp", **options)
            stack.callback(tools.close)
            return tools

        yield make


@pytest.fixture
def tools(make_tools: MakeTools) -> Tools:
    """A developer's toolbox on the demo project."""
    return make_tools()
