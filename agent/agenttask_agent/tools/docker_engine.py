"""The container engine of a run: found once, called with fixed options only.

Podman is preferred to docker. A client without a service behind it, or an engine that
cannot limit memory and processes, counts as absent, and the reason is kept. A remote
engine (a class's `dockerHost`) gets no part of this machine: no mounts, no environment.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.docker_process import run_client
from agenttask_agent.tools.process import Finished
from agenttask_agent.tools.refusal import ToolError
from agenttask_api.engine import DOCKER_HOST

INHERITED = ("PATH", "HOME", "XDG_RUNTIME_DIR", "TMPDIR", "LANG")
"""Of our environment an engine gets these; proxies and credentials are not among them."""
DOCKER_ONLY = {"DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": "/nonexistent", "DOCKER_CLI_HINTS": "false"}
"""BuildKit ignores memory limits and fetches foreign frontends; the configuration holds
credentials and proxies that containers would inherit."""
REMOTE_ADDRESS = re.compile(DOCKER_HOST)
PROBE_SECONDS = 20.0
NEEDED_CONTROLLERS = frozenset({"cpu", "memory", "pids"})


class NoEngine(Exception):
    """There is no usable engine; the text says why."""


@dataclass(frozen=True)
class Engine:
    """A client program with the options that lead it to its service."""

    kind: str
    """`podman` or `docker`."""
    argv: tuple[str, ...]
    env: Mapping[str, str]
    remote: bool = False
    rootless: bool = False


@dataclass(frozen=True)
class Docker:
    """What the docker operations of one run share."""

    engine: Engine
    settings: DockerSettings
    folder: Path
    """A folder outside the workspace for build contexts; empty when nothing runs."""

    def run(self, arguments: Sequence[str], timeout: float, **how: Any) -> Finished:
        """Run an engine command; `exit_code` is None when it was ended at its timeout."""
        argv = [*self.engine.argv, *arguments]
        try:
            return run_client(argv, env=self.engine.env, timeout=timeout, **how)
        except OSError as error:
            raise ToolError(f"{argv[0]} cannot be started: {error.strerror}") from error

    def text(self, arguments: Sequence[str], timeout: float = 60.0) -> str:
        """Run an engine command that must succeed and return what it printed."""
        finished = self.run(arguments, timeout)
        if finished.exit_code != 0:
            raise ToolError(explain(finished))
        return finished.output.decode("utf-8", "replace")


def explain(finished: Finished) -> str:
    """Return why an engine command failed, for the model."""
    if finished.exit_code is None:
        return f"took longer than {finished.seconds:.0f} seconds and was ended"
    said = finished.output.decode("utf-8", "replace").strip()
    return said[-2000:] or f"the engine ended with exit code {finished.exit_code}"


def local_engine(environment: Mapping[str, str], options: Sequence[str] = ()) -> Engine:
    """Return this machine's engine, podman before docker; raises NoEngine.

    `options` are global ones for podman, such as `--root`.
    """
    host = environment.get("DOCKER_HOST", "")
    docker = ("docker", "--host", host) if host.startswith("unix://") else ("docker",)
    return _first(environment, (("podman", ("podman", *options)), ("docker", docker)), False)


def remote_engine(environment: Mapping[str, str], address: str) -> Engine:
    """Return the engine behind an address that the platform runs; raises NoEngine."""
    if not address or not REMOTE_ADDRESS.fullmatch(address):
        raise NoEngine(f"{address!r} is not the address of an engine, tcp://host:port")
    clients = (
        ("podman", ("podman", "--remote", "--url", address)),
        ("docker", ("docker", "--host", address)),
    )
    return _first(environment, clients, True)


def _first(
    environment: Mapping[str, str], clients: Sequence[tuple[str, tuple[str, ...]]], remote: bool
) -> Engine:
    inherited = {name: environment[name] for name in INHERITED if name in environment}
    reasons = []
    for kind, argv in clients:
        env = inherited | (DOCKER_ONLY if kind == "docker" else {})
        try:
            return _probed(Engine(kind, argv, env, remote))
        except NoEngine as reason:
            reasons.append(f"{kind}: {reason}")
    raise NoEngine("; ".join(reasons))


def _probed(engine: Engine) -> Engine:
    """Return the engine with what it says about itself; raises NoEngine."""
    if not shutil.which(engine.argv[0], path=engine.env.get("PATH")):
        raise NoEngine("not installed")
    argv = [*engine.argv, "info", "--format", "{{json .}}"]
    finished = run_client(argv, env=engine.env, timeout=PROBE_SECONDS)
    facts = _json_object(finished.output)
    if finished.exit_code != 0 or not facts:
        raise NoEngine(_last_line(finished))
    rootless = _checked_podman(facts) if engine.kind == "podman" else _checked_docker(facts)
    return Engine(engine.kind, engine.argv, engine.env, engine.remote, rootless)


def _checked_podman(facts: Mapping[str, Any]) -> bool:
    """Return whether podman is rootless; without cgroup v2 such a one cannot limit anything."""
    host = facts.get("host") or {}
    rootless = bool((host.get("security") or {}).get("rootless"))
    controllers = frozenset(host.get("cgroupControllers") or ())
    if rootless and (host.get("cgroupVersion") != "v2" or not controllers >= NEEDED_CONTROLLERS):
        raise NoEngine("it is rootless and its cgroups cannot limit memory, cpu and processes")
    return rootless


def _checked_docker(facts: Mapping[str, Any]) -> bool:
    if not facts.get("ServerVersion"):
        problems = facts.get("ServerErrors") or ["there is no service behind the client"]
        raise NoEngine(str(problems[0])[:300])
    if not (facts.get("MemoryLimit") and facts.get("PidsLimit")):
        raise NoEngine("its cgroups cannot limit memory and processes")
    return any("rootless" in str(option) for option in facts.get("SecurityOptions") or ())


def _json_object(output: bytes) -> dict[str, Any]:
    """Return the JSON object in a client's output, warnings around it left aside."""
    text = output.decode("utf-8", "replace")
    for start in (match.start() for match in re.finditer(r"^\{", text, re.MULTILINE)):
        try:
            found = json.JSONDecoder().raw_decode(text, start)[0]
        except ValueError:
            continue
        return found if isinstance(found, dict) else {}
    return {}


def _last_line(finished: Finished) -> str:
    if finished.exit_code is None:
        return f"did not answer within {PROBE_SECONDS:.0f} seconds"
    lines = finished.output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "it does not work"
