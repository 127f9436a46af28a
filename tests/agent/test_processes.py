"""What programs leave behind, and programs that start more and more of themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.agent.toolboxes import Tools

from agenttask_agent.tools import processtree
from agenttask_agent.tools.process import is_limited, run_program

BOMB = """
import os, time
def fork_until_empty():
    # Each fork takes a token, so that a bomb that nobody ends is one of bounded size.
    while os.read({tokens}, 1):
        if os.fork() == 0:
            os.setsid()
    time.sleep(60)
"""
TOKENS = 600
RUN = """
import json, os, sys
from pathlib import Path
from agenttask_agent.tools.memory import Memory
from agenttask_agent.tools.process import run_program
from agenttask_agent.tools.processtree import become_subreaper, children
become_subreaper()
reader, writer = os.pipe()
os.write(writer, b"x" * {count})
os.close(writer)
os.dup2(reader, 0)
memory = Memory(Path({root!r}), most_tasks={most})
finished = run_program(
    [sys.executable, "-c", {bomb!r} + "\\nfork_until_empty()"],
    cwd="/", env={{"MARK": {mark!r}}}, timeout=20, stdin=0, memory=memory)
print(json.dumps([finished.exit_code, finished.hungry, len(children())]))
"""


def marked(mark: str) -> list[int]:
    """Return the living processes that carry the mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"MARK={mark}".encode() in environment:
                found.append(int(entry.name))
    return found


def test_a_fork_bomb_is_a_result_and_leaves_nothing(tmp_path: Path):
    """Each of its processes has a session of its own, so no group's kill reaches it."""
    mark = f"bomb-{os.getpid()}"
    script = RUN.format(
        count=TOKENS, root=str(tmp_path), most=100, mark=mark, bomb=BOMB.format(tokens=0)
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [None, True, 0]
    assert marked(mark) == []


def test_many_processes_within_the_limit_are_no_bomb(tmp_path: Path):
    few = "import os\ndef fork_until_empty():\n    [os.fork() or os._exit(0) for _ in range(20)]\n"
    script = RUN.format(count=20, root=str(tmp_path), most=100, mark="few", bomb=few)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, check=False
    )
    assert json.loads(done.stdout) == [0, False, 0], done.stderr.decode()


def test_a_quick_program_leaves_no_stray(tmp_path: Path):
    """It may have ended, and its child be ours, before anyone looks for children."""
    mark = f"stray-{os.getpid()}"
    script = (
        "import sys\n"
        "from agenttask_agent.tools.process import run_program\n"
        "from agenttask_agent.tools.processtree import become_subreaper\n"
        "become_subreaper()\n"
        "for _ in range(20):\n"
        "    run_program(['sh', '-c', 'setsid sleep 60 &'], cwd='/',\n"
        f"                env={{'PATH': '/usr/bin:/bin', 'MARK': {mark!r}}}, timeout=10)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert marked(mark) == []


def test_threads_count_as_tasks():
    script = (
        "import threading, time\n"
        "[threading.Thread(target=time.sleep, args=(30,), daemon=True).start() for _ in range(9)]\n"
        "print(flush=True); time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        assert processtree.below([os.getpid()])[child.pid].threads == 10
        child.kill()


@pytest.mark.parametrize("bounded", [False, True])
def test_a_program_is_bounded_whoever_starts_it(bounded: bool, tmp_path: Path):
    """Also where the bounds are inherited and nothing is done between fork and exec."""
    script = (
        "from agenttask_agent.tools.process import limit_resources, run_program\n"
        f"if {bounded}: limit_resources()\n"
        "done = run_program(['sh', '-c', 'ulimit -Hc; ulimit -Hf; ulimit -Hn; ulimit -Sn'],\n"
        "                   cwd='/', env={'PATH': '/usr/bin:/bin'}, timeout=10)\n"
        "print(done.output.decode())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    core, size, files, soft = map(int, done.stdout.split())
    assert core == 0
    assert size * 512 <= 2 * 1024**3
    assert soft == files <= 4096


def test_this_process_has_no_bounds_that_it_did_not_take():
    assert not is_limited(), "the tests above would show nothing"


def test_git_sees_no_variable_of_ours(tools: Tools, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("SOME_TOKEN", "leaked")
    assert tools("git.status").ok
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\nenv\n")
    program.chmod(0o755)
    repository = tools.toolbox.context.repository
    repository.env = dict(repository.env) | {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    names = {line.partition("=")[0] for line in repository.text(["status"]).splitlines()}
    assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == set(repository.env)


def test_run_program_reports_what_cannot_be_started():
    with pytest.raises(OSError, match="no-such-program"):
        run_program(["no-such-program"], cwd="/", env={"PATH": "/usr/bin"}, timeout=5)
