"""The pod's folders below one private folder of this machine.

Each part has its own tmp and home, as each container has. Sockets need short paths:
an address of a unix socket has 104 bytes on macOS, 108 on Linux.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agenttask_agent.paths import Paths
from agenttask_courier.places import Places

MAX_SOCKET_PATH = 103
_SHORT = Path("/tmp")
_PREFIX = "agenttask-run-"
_LOCK = "lock"
_KEPT = "kept"


@dataclass(frozen=True)
class LocalPod:
    """Where everything of one local run lies."""

    root: Path

    @property
    def courier(self) -> Places:
        """As the courier's container sees the pod."""
        return self._places("courier")

    @property
    def verifier(self) -> Places:
        """As the verifier's container sees it."""
        return self._places("verifier")

    @property
    def agent(self) -> Paths:
        """As the agent's container sees it."""
        places, own = self._places("agent"), self.root / "agent"
        return Paths(places.task_file, places.door_socket, places.repo, own / "home", own / "tmp")

    @property
    def source(self) -> Path:
        """A bare repository that stands for the remote."""
        return self.root / "source.git"

    @property
    def own(self) -> Path:
        """For the user's own git."""
        return self.root / "own"

    @property
    def agent_log(self) -> Path:
        return self.root / "agent.log"

    @property
    def courier_log(self) -> Path:
        return self.root / "courier.log"

    def keep(self) -> None:
        """Leave the folder when the run is over."""
        (self.root / _KEPT).touch()

    def _places(self, who: str) -> Places:
        below, own = Places.below(self.root), self.root / who
        return replace(below, tmp=own / "tmp", home=own / "home")

    def _make(self) -> None:
        for places in (self.courier, self.verifier, self._places("agent")):
            for folder in vars(places).values():
                target = folder.parent if folder == places.termination_log else folder
                target.mkdir(parents=True, exist_ok=True)
        self.own.mkdir()


@contextlib.contextmanager
def local_pod(keep: bool) -> Iterator[LocalPod]:
    """Make the folders, and remove them at the end unless they are to be kept."""
    parent = _parent()
    sweep(parent)
    pod = LocalPod(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve())
    try:
        with (pod.root / _LOCK).open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            pod._make()
            if keep:
                pod.keep()
            yield pod
    finally:
        if not keep:
            remove(pod.root)


def sweep(parent: Path) -> None:
    """Remove what killed runs have left: folders of ours whose lock nobody holds any more."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.getuid() and not (folder / _KEPT).exists():
                _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(folder)
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Remove a folder that programs of the task wrote to, also where they locked it."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for base, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                Path(base).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def _parent() -> Path:
    """Return the user's folder for temporary files, or /tmp where sockets would not fit."""
    usual = Path(tempfile.gettempdir()).resolve()
    longest = usual / f"{_PREFIX}12345678" / "vdoor" / "verifier.sock"
    return usual if len(os.fsencode(longest)) <= MAX_SOCKET_PATH else _SHORT
