"""The node: namespaces of its own for mounts, network and processes, as a container has.

Its first process keeps them open. When it dies the kernel kills every process
inside, unmounts every mount and removes every interface, so nothing stays behind.
"""

import subprocess
import time
from pathlib import Path

from . import cgroups
from .errors import ClusterError
from .layout import Layout
from .processes import Process, identify, is_alive, run, runs, succeeds

PRIVATE = ("/var/lib/kubelet", "/var/log/containers", "/var/lib/cni", "/run/containerd")
"""Paths that kubelet, containerd and CNI share with other clusters unless each sees its own."""

_JOIN = 'echo $$ > "$0" && exec "$@"'
"""Join the cgroup, then become the command."""

_DETACH = '"$@" &'
"""Leave the command to the node's first process, which reaps it: not every host's does."""


def start(layout: Layout, members: Path, pause: Path) -> Process:
    """Open the namespaces and return the process that keeps them."""
    options = (
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation",
        "slave",
        "--mount-proc",
    )
    child = _launch(layout, members, "node", ["unshare", *options, "--", str(pause)], path="")
    keeper = identify(child.pid)
    deadline = time.monotonic() + 10
    while keeper is None or not is_open(keeper, pause):
        if keeper is None or not is_alive(keeper) or time.monotonic() > deadline:
            raise ClusterError(f"cannot make namespaces: {read_tail(layout, 'node')}")
        time.sleep(0.02)
    return keeper


def is_open(keeper: Process, pause: Path) -> bool:
    """Whether the namespaces are there and ready; entering earlier leads to the host's."""
    own, theirs = Path("/proc/self/ns/net"), Path(f"/proc/{keeper.pid}/ns/net")
    try:
        is_apart = own.readlink() != theirs.readlink()
    except OSError:
        return False
    return is_apart and succeeds(*enter(keeper, "grep", "-qx", pause.name, "/proc/1/comm"))


def spawn(layout: Layout, members: Path, keeper: Process, command: list[str], path: str) -> Process:
    """Start a daemon in the node, with a log of its own, and return it as the host sees it."""
    binary = Path(command[0])
    child = _launch(
        layout, members, binary.name, enter(keeper, "sh", "-c", _DETACH, "sh", *command), path
    )
    child.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for process in map(identify, cgroups.read_pids(members)):
            if process and runs(process, binary):
                return process
        time.sleep(0.01)
    raise ClusterError(f"{binary.name} ended at once:\n{read_tail(layout, binary.name)}")


def _launch(
    layout: Layout, members: Path, name: str, command: list[str], path: str
) -> "subprocess.Popen[bytes]":
    """Start a command as a member of the cluster's cgroup, away from our terminal."""
    env = {
        "PATH": f"{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
    }
    with (layout.logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            ["sh", "-c", _JOIN, str(members), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            cwd="/",
            start_new_session=True,
        )


def enter(node: Process, *command: str) -> list[str]:
    """The command line that runs a command inside the node."""
    spaces = f"/proc/{node.pid}/ns"
    options = (f"--mount={spaces}/mnt", f"--net={spaces}/net", f"--pid={spaces}/pid_for_children")
    return ["nsenter", *options, "--", *command]


def read_tail(layout: Layout, name: str, lines: int = 5) -> str:
    log = layout.logs / f"{name}.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def hide_shared_paths(layout: Layout, node: Process) -> None:
    """Mounts of the host still come in, none goes out; volumes may propagate as on any node."""
    run(*enter(node, "mount", "--make-rshared", "/"))
    for path in PRIVATE:
        own = layout.data / "private" / path.strip("/").replace("/", "-")
        own.mkdir(parents=True)
        Path(path).mkdir(parents=True, exist_ok=True)
        run(*enter(node, "mount", "--bind", str(own), path))
