"""What runs leave behind is removed: by themselves, or by the next one."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.agent.conftest import PACKAGES
from tests.agent.engine import BASE, Store, podman
from tests.agent.toolboxes import Tools

from agenttask_agent.tools.catalogue import available
from agenttask_agent.tools.docker_engine import Docker
from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.docker_sweep import hold, lasting, remove_all, sweep
from agenttask_agent.tools.http_client import HttpClient
from agenttask_agent.tools.http_policy import HostPolicy

__all__ = ["podman"]  # the fixture
HOLD = """
import sys, time, pathlib
from agenttask_agent.tools.docker_sweep import hold
lock = hold(pathlib.Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
time.sleep(600)
"""


def docker_of(podman: Store, key: str, folder: Path) -> Docker:
    return Docker(podman.engine, DockerSettings(key), folder)


def leave_behind(podman: Store, key: str, tmp_path: Path) -> None:
    labels = [f"--label=agenttask.dev/run={key}", "--label=agenttask.dev/kind=container"]
    podman.person_runs(*labels)
    folder = tmp_path / f"image-{key}"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {BASE}\nENV K={key}\n")
    kind = ["--label=agenttask.dev/kind=image", "--layers=false"]
    podman.podman("build", labels[0], *kind, "--tag", f"localhost/{key}", str(folder))


def left(podman: Store, key: str) -> str:
    label = f"label=agenttask.dev/run={key}"
    things = ("ps", "--all", "--quiet"), ("images", "--quiet")
    return "".join(podman.podman(*thing, "--filter", label) for thing in things)


def holder(folder: Path, key: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(folder), key]
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_run_removes_its_own_and_nothing_else(podman: Store, tmp_path: Path):
    foreign = podman.person_runs()
    for key in ("mine", "other"):
        leave_behind(podman, key, tmp_path)
    assert remove_all(docker_of(podman, "mine", tmp_path)) == []
    assert left(podman, "mine") == ""
    assert left(podman, "other") != ""
    assert foreign[:12] in podman.podman("ps", "--quiet")
    assert remove_all(docker_of(podman, "other", tmp_path)) == []
    podman.podman("rm", "--force", "--time=0", foreign)


def test_a_killed_run_is_tidied_up_by_the_next_and_a_living_one_is_not(
    podman: Store, tmp_path: Path
):
    locks = tmp_path / "locks"
    killed, living = holder(locks, "killed"), holder(locks, "living")
    try:
        for key in ("killed", "living"):
            leave_behind(podman, key, tmp_path)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        mine = hold(locks, "mine")
        assert sweep(docker_of(podman, "mine", tmp_path), locks) == ["killed"]
        assert left(podman, "killed") == ""
        assert left(podman, "living") != ""
        mine.release()
        assert sorted(path.name for path in locks.iterdir()) == ["living.run"]
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate()
        remove_all(docker_of(podman, "living", tmp_path))


def test_one_key_is_held_once(tmp_path: Path):
    lock = hold(tmp_path / "locks", "key")
    with pytest.raises(BlockingIOError):
        hold(tmp_path / "locks", "key")
    lock.release()
    hold(tmp_path / "locks", "key").release()


def test_a_folder_of_others_is_refused(tmp_path: Path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError):
        hold(folder, "key")


def test_files_that_are_no_locks_are_left_alone(podman: Store, tmp_path: Path):
    folder = tmp_path / "locks"
    folder.mkdir(mode=0o700)
    for name in ("UPPER.run", "-x.run", "notes.txt"):
        (folder / name).touch()
    (folder / "link.run").symlink_to("/etc/passwd")
    assert sweep(docker_of(podman, "mine", tmp_path), folder) == []
    assert len(list(folder.iterdir())) == 4
    assert sweep(docker_of(podman, "mine", tmp_path), tmp_path / "missing") == []


def test_what_cannot_be_removed_is_told(podman: Store, tmp_path: Path):
    leave_behind(podman, "stuck", tmp_path)
    docker = docker_of(podman, "stuck", tmp_path)
    image = podman.podman("images", "--quiet", "--no-trunc", "localhost/stuck")
    program = tmp_path / "podman"
    real = " ".join(podman.engine.argv)
    program.write_text(f'#!/bin/sh\n[ "$1" = rmi ] && echo "in use" && exit 2\nexec {real} "$@"\n')
    program.chmod(0o755)
    engine = replace(podman.engine, argv=(str(program),))
    assert remove_all(replace(docker, engine=engine)) == ["in use"]
    assert image
    assert remove_all(docker) == []


@pytest.mark.parametrize("local", [True, False])
def test_a_run_begins_and_ends_with_nothing_of_its_own(podman: Store, tmp_path: Path, local):
    locks = tmp_path / "locks" if local else None
    said: list[str] = []
    leave_behind(podman, "again", tmp_path)
    with lasting(docker_of(podman, "again", tmp_path), locks, said.append):
        assert left(podman, "again") == ""
        (tmp_path / "image-again").rename(tmp_path / "before")
        leave_behind(podman, "again", tmp_path)
    assert left(podman, "again") == ""
    assert said == []
    assert not locks or list(locks.iterdir()) == []


def test_an_engine_that_has_gone_does_not_fail_the_run(podman: Store, tmp_path: Path):
    said: list[str] = []
    gone = replace(podman.engine, argv=("no-such-engine",))
    with lasting(Docker(gone, DockerSettings("k"), tmp_path), None, said.append):
        pass
    assert len(said) == 2


def test_families_without_a_foundation_are_not_in_the_catalogue(tools: Tools, podman: Store):
    context = tools.toolbox.context
    assert {o.family for o in available(context)} == {"files", "git", "tests"}
    docker = docker_of(podman, "k", tools.root)
    with_both = replace(context, docker=docker, http=HttpClient(HostPolicy()))
    assert {o.family for o in available(with_both)} == {"files", "git", "tests", "docker", "http"}
