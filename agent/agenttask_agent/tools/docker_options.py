"""The options every build and every container gets, from the settings alone.

Pure but for this process's own resource limits, which no container can exceed. Podman
says more than docker here; what only podman knows is marked.
"""

import resource
from collections.abc import Mapping

from agenttask_agent.tools.docker_engine import Docker, Engine
from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.process import MAX_OPEN_FILES
from agenttask_api.engine import CONTAINER, IMAGE

MAX_ROOT_PROCESSES = 32_768
REMOTE_PROCESSES = 4096
"""Of one user: less than the hard limit of any usual machine, whose own we cannot ask for."""
DROPPED_CAPABILITIES = ("NET_RAW", "MKNOD", "AUDIT_WRITE", "SETFCAP", "SYS_CHROOT")
"""Of the engine's default set, those that tests and services do not need."""
CPU_PERIOD = 100_000
LOG_SIZE = "10m"
STOP_SECONDS = 2


def build_options(docker: Docker, dockerfile: str, tag: str | None, no_cache: bool) -> list[str]:
    """Return the options of a build whose context is an archive on stdin."""
    settings, engine = docker.settings, docker.engine
    options = [
        *settings.labelled(IMAGE),
        *_memory(settings),
        *_ulimits(engine),
        f"--cpu-period={CPU_PERIOD}",
        f"--cpu-quota={int(settings.cpus * CPU_PERIOD)}",
        "--force-rm",
        f"--file={dockerfile}",
    ]
    options += [] if settings.build_network else ["--network=none"]
    options += [f"--tag={tag}"] if tag else []
    options += ["--no-cache"] if no_cache else []
    return options + (_podman_build(settings) if engine.kind == "podman" else [])


def run_options(docker: Docker, name: str, env: Mapping[str, str], detach: bool) -> list[str]:
    """Return the options of a container, without image, mounts and ports."""
    settings, engine = docker.settings, docker.engine
    options = [
        *settings.labelled(CONTAINER),
        *_memory(settings),
        *_ulimits(engine),
        f"--cpus={settings.cpus}",
        f"--pids-limit={settings.processes}",
        "--security-opt=no-new-privileges",
        *(f"--cap-drop={capability}" for capability in DROPPED_CAPABILITIES),
        "--no-healthcheck",
        f"--name={name}",
        f"--log-opt=max-size={LOG_SIZE}",
        *(f"--env={variable}={value}" for variable, value in env.items()),
        "--detach" if detach else "--rm",
    ]
    options += [] if settings.run_network else ["--network=none"]
    return options + (
        _podman_run(settings) if engine.kind == "podman" else ["--log-driver=json-file"]
    )


def _podman_build(settings: DockerSettings) -> list[str]:
    """Podman asks its registries only for what is missing, and then only when it may."""
    pull = "--pull=missing" if settings.images else "--pull=never"
    cache = "true" if settings.layer_cache else "false"
    return [pull, f"--layers={cache}", "--http-proxy=false", "--isolation=oci"]


def _podman_run(settings: DockerSettings) -> list[str]:
    return [
        f"--timeout={settings.lifetime_seconds}",
        "--http-proxy=false",
        "--systemd=false",
        "--log-driver=k8s-file",
        f"--stop-timeout={STOP_SECONDS}",
    ]


def _memory(settings: DockerSettings) -> list[str]:
    """Memory and swap together have one limit: there is no swap on top."""
    return [f"--memory={settings.memory_mib}m", f"--memory-swap={settings.memory_mib}m"]


def _ulimits(engine: Engine) -> list[str]:
    """Podman would ask for more files and processes than we may have ourselves."""
    files = _at_most(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    limits = ["--ulimit=core=0:0", f"--ulimit=nofile={files}:{files}"]
    if engine.kind == "podman":
        here = _at_most(resource.RLIMIT_NPROC, MAX_ROOT_PROCESSES)
        processes = REMOTE_PROCESSES if engine.remote else here
        limits.append(f"--ulimit=nproc={processes}:{processes}")
    return limits


def _at_most(kind: int, value: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
