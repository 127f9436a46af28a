"""A detached container outlives the programs that other operations start and end.

Podman's monitor becomes a child of the agent, which is a subreaper and ends what its
programs leave behind. Tried in a process of its own: there is no way back from it here.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.agent.conftest import PACKAGES, ROOT
from tests.agent.engine import BASE, Store, podman

__all__ = ["podman"]  # the fixture
SCRIPT = """
import pathlib, sys
from agenttask_agent.tools import docker
from agenttask_agent.tools.docker_engine import Docker, Engine
from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.docker_sweep import remove_all
from agenttask_agent.tools.process import run_program
from agenttask_agent.tools.processtree import become_subreaper
from tests.agent.projects import PROJECT, make_repository
from tests.agent.toolboxes import Tools

folder, base, *argv = sys.argv[1:]
become_subreaper()
tools = Tools(make_repository(pathlib.Path(folder, "repo"), PROJECT), pathlib.Path(folder, "tmp"),
              role=None, catalogue=docker.OPERATIONS)
import dataclasses, os
engine = Engine("podman", tuple(argv), dict(os.environ))
settings = DockerSettings("subreaper", images=("*",), memory_mib=64)
made = Docker(engine, settings, pathlib.Path(folder))
tools.toolbox.context = dataclasses.replace(tools.toolbox.context, docker=made)
started = tools("docker.run", image=base, command=["sleep", "600"], detach=True, name="web")
assert started.ok, started
run_program(["sh", "-c", "sleep 60 & true"], cwd=folder, env=dict(os.environ), timeout=5)
answer = tools("docker.exec", container="web", command=["echo", "alive"])
stopped = tools("docker.stop", container="web")
state = tools("docker.ps", all=True)
assert remove_all(made) == []
tools.close()
assert stopped.ok and "Exited" in state.output, (stopped, state)
print(answer.output, end="")
"""


def test_a_detached_container_survives_the_end_of_other_programs(podman: Store, tmp_path: Path):
    environment = {**podman.engine.env, "PYTHONPATH": os.pathsep.join([PACKAGES, str(ROOT)])}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), BASE, *podman.engine.argv]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
