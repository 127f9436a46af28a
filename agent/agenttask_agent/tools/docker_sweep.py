"""Removes what runs have left at the engine: at a run's end, and for those that had none.

A run holds a lock on a file of its own while it lives. The kernel lets go of it however
the run ends, so a lock that can be had belongs to a run that was killed: its containers
and images, found by their label, are removed by the next run that starts here.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agenttask_agent.tools import docker_own
from agenttask_agent.tools.docker_engine import Docker, explain
from agenttask_agent.tools.docker_policy import RUN_KEY
from agenttask_agent.tools.refusal import ToolError

SUFFIX = ".run"
REMOVE_SECONDS = 120.0


@dataclass(frozen=True)
class RunLock:
    """Says that this run lives, until `release`."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Forget the run; nothing of it is left to be removed."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def hold(folder: Path, run_key: str) -> RunLock:
    """Take this run's lock in a folder that only we can write to; raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.stat(follow_symlinks=False)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(f"{folder} is not a folder of ours alone")
    descriptor = _locked(folder / f"{run_key}{SUFFIX}", os.O_CREAT)
    if descriptor is None:
        raise BlockingIOError(f"another run has the key {run_key}")
    return RunLock(folder / f"{run_key}{SUFFIX}", descriptor)


@contextlib.contextmanager
def lasting(docker: Docker, locks: Path | None, say: Callable[[str], None]) -> Iterator[Docker]:
    """Keep a run's containers for as long as the run: tidy up before it and after it.

    `locks` is for an engine of this machine. A remote one is shared by machines that see
    no lock, so there only what an earlier attempt of the same run has left is removed.
    What cannot be removed is said, and is no reason to fail.
    """
    lock = hold(locks, docker.settings.run_key) if locks else None
    try:
        _tidy(docker, locks, say)
        yield docker
    finally:
        _tidy(docker, None, say)
        if lock:
            lock.release()


def _tidy(docker: Docker, locks: Path | None, say: Callable[[str], None]) -> None:
    try:
        for problem in remove_all(docker):
            say(f"docker: could not be removed: {problem}")
        for key in sweep(docker, locks) if locks else []:
            say(f"docker: removed what the killed run {key} had left")
    except ToolError as error:
        say(f"docker: could not tidy up: {error}")


def sweep(docker: Docker, folder: Path) -> list[str]:
    """Remove what killed runs have left; return the keys of those runs."""
    swept = []
    for path, descriptor in _abandoned(folder, docker.settings.run_key):
        key = path.name.removesuffix(SUFFIX)
        problems = remove_all(replace(docker, settings=replace(docker.settings, run_key=key)))
        if not problems:
            path.unlink(missing_ok=True)
            swept.append(key)
        os.close(descriptor)
    return swept


def remove_all(docker: Docker) -> list[str]:
    """Remove everything that carries this run's label; return what could not be."""
    found = docker_own.containers(docker)
    _remove(docker, ["kill"], [c.id for c in found if c.running])
    containers = [c.id for c in found]
    problems = _remove(docker, ["rm", "--force", "--volumes"], containers)
    images = [i.id for i in docker_own.images(docker)]
    return problems + _remove(docker, ["rmi", "--force"], images)


def _remove(docker: Docker, command: list[str], ids: list[str]) -> list[str]:
    unique = list(dict.fromkeys(ids))
    if not unique:
        return []
    finished = docker.run([*command, *unique], REMOVE_SECONDS)
    return [] if finished.exit_code == 0 else [explain(finished)]


def _abandoned(folder: Path, own_key: str) -> Iterator[tuple[Path, int]]:
    """Yield the lock files of runs that no longer live, locked by us."""
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []:
        key = path.name.removesuffix(SUFFIX)
        if key == own_key or not RUN_KEY.fullmatch(key):
            continue
        descriptor = _locked(path, 0)
        if descriptor is not None:
            yield path, descriptor


def _locked(path: Path, flags: int) -> int | None:
    """Return a descriptor with the lock, None when another process has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
