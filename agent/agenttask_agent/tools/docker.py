"""The docker family: builds and runs containers that reach nothing but themselves.

Whatever the model asks for, a container has limits, no network unless the platform
gave one, no more privileges and nothing of the host but folders of the workspace. Of
containers and images a run sees its own; what it leaves is removed when it ends.
"""

import json
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from agenttask_agent.sanitise import plain_terminal
from agenttask_agent.tools import docker_mounts, docker_own, fields, validators
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.docker_engine import Docker, explain
from agenttask_agent.tools.docker_options import build_options, run_options
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.process import Finished
from agenttask_agent.tools.refusal import Denied, ToolError

STOP_SECONDS = 5
ENGINE_SECONDS = 60.0


def _bounded(pairs: dict[str, str]) -> dict[str, str]:
    validators.mapping(pairs, validators.MAX_VARIABLES, 128, validators.MAX_VALUE)
    return pairs


Word = Annotated[str, StringConstraints(max_length=validators.MAX_WORD)]
Volume = Annotated[str, StringConstraints(min_length=3, max_length=2048)]
Port = Annotated[str, StringConstraints(min_length=1, max_length=20)]
Command = Annotated[
    tuple[Word, ...],
    Field(max_length=validators.MAX_WORDS, description="Program and arguments; no shell."),
]
ContainerName = Annotated[
    str, Field(min_length=1, max_length=128, description="Name or id of a container of this run.")
]


class Build(Params):
    """Arguments of docker.build."""

    context_path: fields.Path = "."
    dockerfile: Annotated[
        str, Field(min_length=1, max_length=1024, description="Relative to the context.")
    ] = "Dockerfile"
    tag: Annotated[str | None, Field(max_length=128, description="Like app or app:1.")] = None
    no_cache: bool = False


def build(context: ToolContext, params: Build) -> Answer:
    docker = _docker(context)
    tag = docker.settings.own_tag(params.tag) if params.tag else None
    with tempfile.TemporaryDirectory(dir=docker.folder, prefix="build-") as name:
        folder = Path(name)
        finished = _build_in(folder, context, docker, params, tag)
        report = folder / "iid"
        image = report.read_text("ascii").strip() if report.exists() else ""
    return _answer(finished, {"image": tag or image, "id": image}, keep_tail=True)


class Run(Params):
    """Arguments of docker.run."""

    image: Annotated[
        str, Field(min_length=1, max_length=validators.MAX_IMAGE, description="Tag, name or id.")
    ]
    command: Command = ()
    env: Annotated[dict[str, Word], AfterValidator(_bounded)] = {}
    volumes: Annotated[
        tuple[Volume, ...],
        Field(max_length=8, description="folder:/target or folder:/target:ro in the workspace."),
    ] = ()
    ports: Annotated[tuple[Port, ...], Field(max_length=8, description="Like 8080:80.")] = ()
    detach: Annotated[bool, Field(description="Leave it running in the background.")] = False
    name: Annotated[str | None, Field(max_length=40, description="Like web-1.")] = None


def run(context: ToolContext, params: Run) -> Answer:
    docker = _docker(context)
    word = params.name or f"c{secrets.token_hex(4)}"
    name = docker.settings.own_name(word)
    command = validators.command_args(params.command) if params.command else ()
    env = validators.env_vars(params.env)
    _check_room(docker, name)
    options = run_options(docker, name, env, params.detach)
    options += docker_mounts.volume_options(docker, context.workspace, params.volumes)
    options += docker_mounts.port_options(docker, params.ports)
    argv = ["run", *options, *_image(docker, params.image), *command]
    longest = ENGINE_SECONDS if params.detach else docker.settings.run_seconds
    finished = _run_or_remove(docker, argv, name, context.timeout(longest))
    return _answer(finished, {"container": word}, keep_tail=True)


class Exec(Params):
    """Arguments of docker.exec."""

    container: ContainerName
    command: Annotated[Command, Field(min_length=1)]


def exec_(context: ToolContext, params: Exec) -> Answer:
    docker = _docker(context)
    command = validators.command_args(params.command)
    found = docker_own.container(docker, params.container)
    seconds = context.timeout(docker.settings.exec_seconds)
    finished = docker.run(["exec", found.id, *command], seconds)
    if finished.exit_code is None:
        docker.run(["kill", found.id], ENGINE_SECONDS)
    return _answer(finished, {"killed": finished.exit_code is None}, keep_tail=True)


class Ps(Params):
    """Arguments of docker.ps."""

    show_all: Annotated[bool, Field(alias="all", description="Those that have ended too.")] = False


def ps(context: ToolContext, params: Ps) -> Answer:
    docker = _docker(context)
    found = docker_own.containers(docker, everything=params.show_all)
    prefix = docker.settings.own_name("x")[:-1]
    lines = [f"{c.name.removeprefix(prefix)}  {c.id[:12]}  {c.status}  {c.image}" for c in found]
    return Answer("\n".join(lines) or "(no containers of this run)", {"containers": len(found)})


class Logs(Params):
    """Arguments of docker.logs."""

    container: ContainerName
    tail: Annotated[int, Field(ge=1, le=5000, description="Lines from the end.")] = 200


def logs(context: ToolContext, params: Logs) -> Answer:
    docker = _docker(context)
    found = docker_own.container(docker, params.container)
    finished = docker.run(["logs", f"--tail={params.tail}", found.id], ENGINE_SECONDS)
    return _answer(finished, {}, keep_tail=True)


class Stop(Params):
    """Arguments of docker.stop."""

    container: ContainerName


def stop(context: ToolContext, params: Stop) -> Answer:
    docker = _docker(context)
    found = docker_own.container(docker, params.container)
    docker.text(["stop", f"--time={STOP_SECONDS}", found.id])
    return Answer(f"stopped {params.container}")


class Rm(Params):
    """Arguments of docker.rm."""

    container: ContainerName
    force: Annotated[bool, Field(description="Also when it is running.")] = False


def rm(context: ToolContext, params: Rm) -> Answer:
    docker = _docker(context)
    found = docker_own.container(docker, params.container)
    docker.text(["rm", "--volumes", *(["--force"] if params.force else []), found.id])
    return Answer(f"removed {params.container}")


class Images(Params):
    """Arguments of docker.images: none."""


def images(context: ToolContext, params: Images) -> Answer:  # noqa: ARG001 - every handler has it
    found = docker_own.images(_docker(context))
    lines = [f"{i.name}  {i.id.removeprefix('sha256:')[:12]}  {i.size}" for i in found]
    return Answer("\n".join(lines) or "(no images of this run)", {"images": len(found)})


class Inspect(Params):
    """Arguments of docker.inspect."""

    name: Annotated[
        str, Field(min_length=1, max_length=validators.MAX_IMAGE, description="Container or image.")
    ]


def inspect(context: ToolContext, params: Inspect) -> Answer:
    docker = _docker(context)
    image = docker_own.image(docker, params.name)
    kind = "image" if image else "container"
    found = image.id if image else docker_own.container(docker, params.name).id
    text = docker.text(["inspect", f"--type={kind}", "--format={{json .}}", found])
    return Answer(json.dumps(docker_own.facts(text), indent=2, sort_keys=True), {"kind": kind})


def _docker(context: ToolContext) -> Docker:
    if context.docker is None:
        raise ToolError("docker is not available in this run")
    return context.docker


def _build_in(
    folder: Path, context: ToolContext, docker: Docker, params: Build, tag: str | None
) -> Finished:
    """Pack the context and build from it in an empty folder, so that no path means a file here."""
    from agenttask_agent.tools import docker_context  # Here: only a build needs archives.

    (folder / "empty").mkdir()
    with tempfile.TemporaryFile(dir=folder) as archive:
        dockerfile = docker_context.pack(
            context.workspace,
            params.context_path,
            params.dockerfile,
            docker.settings,
            lambda name: docker_own.check_base(docker, name),
            archive,
        )
        options = build_options(docker, dockerfile, tag, params.no_cache)
        laid_out = docker.engine.remote and docker.engine.kind == "podman"
        source = docker_context.unpack(archive, folder / "context") if laid_out else "-"
        return docker.run(
            ["build", *options, f"--iidfile={folder / 'iid'}", source],
            context.timeout(docker.settings.build_seconds),
            stdin=archive,
            cwd=folder / "empty",
            tidy=True,
        )


def _check_room(docker: Docker, name: str) -> None:
    existing = docker_own.containers(docker)
    if any(c.name == name for c in existing):
        raise ToolError("a container of this name is there; remove it first")
    if sum(c.running for c in existing) >= docker.settings.containers:
        raise Denied(f"{docker.settings.containers} containers are running, more may not")


def _image(docker: Docker, word: str) -> list[str]:
    """Return the image for `run`: an own one by id, or one that the platform allows."""
    own = docker_own.image(docker, word)
    if own:
        return [own.id]
    return ["--pull=missing", docker.settings.base_image(word)]


def _run_or_remove(docker: Docker, argv: list[str], name: str, seconds: float) -> Finished:
    """Run a container; one that takes too long is removed, whatever its client does."""
    finished = docker.run(argv, seconds)
    if finished.exit_code is None:
        removed = docker.run(["rm", "--force", "--volumes", name], ENGINE_SECONDS)
        if removed.exit_code != 0:
            raise ToolError(f"took too long and could not be removed: {explain(removed)}")
    return finished


def _answer(finished: Finished, metadata: Mapping[str, object], *, keep_tail: bool) -> Answer:
    late = finished.exit_code is None
    problem = explain(finished) if late else f"exit code {finished.exit_code}"
    return Answer(
        output=plain_terminal(finished.output),
        metadata={**metadata, "seconds": round(finished.seconds, 2)},
        exit_code=finished.exit_code,
        error=problem if finished.exit_code != 0 else None,
        truncated=finished.truncated,
        keep_tail=keep_tail,
    )


def _op(name: str, params: type[Params], handler: Any, text: str, read: bool = False) -> Any:
    return Operation("docker", name, params, handler, text, read)


OPERATIONS: tuple[Operation[Any], ...] = (
    _op("build", Build, build, "Build an image from a folder; answers with its full name."),
    _op("run", Run, run, "Run a container of an image built here or allowed here."),
    _op("exec", Exec, exec_, "Run a command in a container; one that hangs ends the container."),
    _op("ps", Ps, ps, "List this run's containers.", read=True),
    _op("logs", Logs, logs, "Show the end of a container's output.", read=True),
    _op("stop", Stop, stop, "Stop a container."),
    _op("rm", Rm, rm, "Remove a container and its volumes."),
    _op("images", Images, images, "List the images built in this run.", read=True),
    _op("inspect", Inspect, inspect, "Describe a container or an image of this run.", read=True),
)
