"""What a run has beyond its workspace: http, docker and databases, if its task has them.

Each is made only if role, class and task allow its operations. What they allow and the
run lacks all the same is said once, with the reason, and is not in the tool list.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from agenttask_agent.paths import Paths
from agenttask_agent.redact import secret_values
from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.databases import Databases
from agenttask_agent.tools.docker_engine import Docker, NoEngine, remote_engine
from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.docker_sweep import lasting
from agenttask_agent.tools.http_exchange import Http
from agenttask_agent.tools.policy import Policy
from agenttask_api import names
from agenttask_api.taskdocument import TaskDocument

T = TypeVar("T")


@dataclass(frozen=True)
class Equipment:
    """What the operations of one run may use, and what is not there."""

    policy: Policy
    http: Http | None = None
    docker: Docker | None = None
    databases: Databases | None = None
    absent: tuple[str, ...] = ()
    """One sentence for each family that is missing though one would expect it."""


class Lacking(Exception):
    """The run does not have it; the text says why."""


@contextlib.contextmanager
def equipped(
    document: TaskDocument, paths: Paths, client: httpx.Client, say: Callable[[str], None]
) -> Iterator[Equipment]:
    """Give a run its equipment; what it leaves at a container engine is removed at the end."""
    policy = _policy(document)
    fitting = _Fitting(frozenset(o.family for o in policy.allowed(CATALOGUE)), say)
    docker = fitting.made("docker", False, lambda: _docker(document, paths))
    http = fitting.made("http", bool(document.http_hosts), lambda: _http(document))
    databases = fitting.made("db", bool(document.connections), lambda: _databases(document, client))
    with contextlib.ExitStack() as stack:
        if docker:
            stack.enter_context(lasting(docker, None, say))
        yield Equipment(policy, http, docker, databases, tuple(fitting.absent))


@dataclass
class _Fitting:
    """Makes one thing after the other and notes what cannot be had."""

    families: frozenset[str]
    """Those of which role, class and task allow an operation."""
    say: Callable[[str], None]
    absent: list[str] = field(default_factory=list)

    def made(self, family: str, asked: bool, make: Callable[[], T]) -> T | None:
        """Return what `make` makes, None if it is not allowed or cannot be had."""
        try:
            if family in self.families:
                return make()
            if asked:
                raise Lacking("the role or a tools.allow leaves none of its operations")
        except Lacking as reason:
            self.absent.append(f"not available: {family} ({reason})")
            self.say(self.absent[-1])
        return None


def _policy(document: TaskDocument) -> Policy:
    return Policy(
        document.role,
        document.tools_allow,
        document.constraints.read_only,
        document.class_tools_allow,
    )


def _docker(document: TaskDocument, paths: Paths) -> Docker:
    if not document.docker_host:
        raise Lacking("no dockerHost in the class's toolchain")
    folder = paths.tmp / "docker"
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        engine = remote_engine(os.environ, document.docker_host)
    except NoEngine as reason:
        raise Lacking(str(reason)) from reason
    return Docker(engine, DockerSettings(_run_word(document)), folder)


def _run_word(document: TaskDocument) -> str:
    """Return the engine's name of this run: another attempt has the same, no other run has."""
    index = os.environ.get(names.ENV_INDEX) or "0"
    who = f"{document.identity.uid}/{document.identity.run_key}/{index}"
    return hashlib.sha256(who.encode()).hexdigest()[:20]


def _http(document: TaskDocument) -> Http:
    if not document.http_hosts:
        raise Lacking("spec.tools.httpHosts names no host")
    from agenttask_agent.tools.http_client import HttpClient
    from agenttask_agent.tools.http_policy import host_policy
    from agenttask_agent.tools.http_secrets import SecretScan

    known = secret_values(os.environ) + secret_values({e.name: e.value for e in document.env})
    return HttpClient(host_policy((), document.http_hosts), SecretScan(known))


def _databases(document: TaskDocument, client: httpx.Client) -> Databases:
    if not document.connections:
        raise Lacking("spec.tools.connections names none")
    from agenttask_agent.tools.door_databases import DoorDatabases

    return DoorDatabases(client)
