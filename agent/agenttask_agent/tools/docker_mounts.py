"""Turns the volumes and ports of a container into options that open nothing else.

A source is walked to through the workspace's walls; the engine then opens it once more
by its path. Only a program that writes into the workspace at that very moment could
swap a link in between, so there is at most one writing container at a time.
"""

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from agenttask_agent.tools import docker_own
from agenttask_agent.tools.docker_engine import Docker
from agenttask_agent.tools.docker_policy import WRITES_LABEL
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.system import path_of
from agenttask_agent.tools.workspace import Workspace

PORT = re.compile(r"(?:([0-9]{1,5}):)?([0-9]{1,5})(/tcp|/udp)?")
SYSTEM_FOLDERS = ("/proc", "/sys", "/dev", "/run/secrets")
SEPARATORS = re.compile(r"[:,\"'\\\x00-\x1f\ud800-\udfff]")
LOWEST_PORT = 1024


@dataclass(frozen=True)
class Mount:
    """One `source:target[:ro]`, taken apart."""

    source: str
    target: str
    read_only: bool


def parse(volume: str) -> Mount:
    """Return a volume taken apart; raises ToolError or Denied."""
    source, separator, rest = volume.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not separator or mode not in ("", "ro", "rw"):
        raise ToolError(f"{volume[:200]!r} is not source:target or source:target:ro")
    parts = PurePosixPath(target).parts
    if SEPARATORS.search(target) or parts[:1] != ("/",) or len(parts) < 2 or ".." in parts:
        raise ToolError(f"{target[:200]!r} is not an absolute path in the container")
    plain = "/".join(["", *parts[1:]])
    if any(plain == folder or plain.startswith(f"{folder}/") for folder in SYSTEM_FOLDERS):
        raise Denied(f"{target[:200]!r} belongs to the system")
    return Mount(source, plain, mode == "ro")


def volume_options(docker: Docker, workspace: Workspace, volumes: tuple[str, ...]) -> list[str]:
    """Return the options that mount folders of the workspace, and mark who may write."""
    mounts = [parse(volume) for volume in volumes]
    if not mounts:
        return []
    if docker.engine.remote:
        raise Denied("a remote engine cannot mount the workspace; COPY the files in a build")
    if any(c.running for c in docker_own.containers(docker, writers=True)):
        raise Denied("a container that may write to the workspace is running; stop it first")
    options = [_bind(docker, workspace, mount) for mount in mounts]
    if not all(mount.read_only for mount in mounts):
        options.append(f"--label={WRITES_LABEL}=yes")
    return [*options, *_user(docker)]


def port_options(docker: Docker, ports: tuple[str, ...]) -> list[str]:
    """Return the options that open ports on this machine's loopback, and nowhere else."""
    if ports and not docker.settings.run_network:
        raise Denied("containers of this run have no network, so there are no ports to open")
    options = []
    for port in ports:
        found = PORT.fullmatch(port)
        outer, inner = (int(found[1] or 0), int(found[2])) if found else (0, 0)
        if not found or not 0 < inner < 65536 or not (outer == 0 or LOWEST_PORT <= outer < 65536):
            raise ToolError(f"{port[:50]!r} is not a port like 80 or 8080:80")
        options.append(f"--publish=127.0.0.1:{outer or ''}:{inner}{found[3] or ''}")
    return options


def _bind(docker: Docker, workspace: Workspace, mount: Mount) -> str:
    with workspace.folder(mount.source) as folder:
        path = path_of(folder, workspace.root / mount.source)
    if SEPARATORS.search(path) or not path.startswith("/"):
        raise ToolError(f"{mount.source[:200]!r}: an engine cannot be given this path")
    modes = ["ro" if mount.read_only else "rw"]
    modes += ["nosuid", "nodev"] if docker.engine.kind == "podman" else []
    return f"--volume={path}:{mount.target}:{','.join(modes)}"


def _user(docker: Docker) -> list[str]:
    """Return whose files a container writes: ours, never root's on a machine that is not root's."""
    return [] if docker.engine.rootless else [f"--user={os.getuid()}:{os.getgid()}"]
