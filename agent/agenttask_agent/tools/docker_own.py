"""Finds a run's own containers and images. What is not found here does not exist for it.

The engine is asked for what carries the run's labels; a model's word is compared with
that list and is never itself given to the engine, so it cannot be an option, and a
foreign container cannot be named.
"""

import json
from dataclasses import dataclass
from typing import Any

from agenttask_agent.tools import validators
from agenttask_agent.tools.docker_engine import Docker
from agenttask_agent.tools.docker_policy import WRITES_LABEL
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_api.engine import CONTAINER, KIND_LABEL
from agenttask_api.engine import IMAGE as IMAGE_KIND

MIN_ID = 6
CONTAINER_LINE = "{{.ID}}|{{.Names}}|{{.Image}}|{{.Status}}"
IMAGE_LINE = "{{.ID}}|{{.Repository}}:{{.Tag}}|{{.Size}}"

INSPECTED = (
    *("Id", "Name", "RepoTags", "Created", "State", "ImageName", "Args", "Size"),
    *("Architecture", "Os", "RestartCount"),
)
INSPECTED_CONFIG = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Labels", "ExposedPorts")


@dataclass(frozen=True)
class Container:
    """One of this run's containers."""

    id: str
    name: str
    image: str
    status: str

    @property
    def running(self) -> bool:
        """Whether a program is alive in it: `Up 3 minutes`, as both engines say it."""
        return self.status.startswith(("Up", "Paused", "Restarting", "Stopping"))


@dataclass(frozen=True)
class OwnImage:
    """One name of an image that this run has built."""

    id: str
    name: str
    size: str


def containers(
    docker: Docker, *, everything: bool = True, writers: bool = False
) -> list[Container]:
    """Return this run's containers, also those that have ended."""
    command = ["ps", "--no-trunc", "--format", CONTAINER_LINE, *docker.settings.labels]
    command += ["--filter", f"label={KIND_LABEL}={CONTAINER}"]
    command += ["--all"] if everything else []
    command += ["--filter", f"label={WRITES_LABEL}=yes"] if writers else []
    return [Container(*fields) for fields in _lines(docker.text(command), 4)]


def images(docker: Docker) -> list[OwnImage]:
    """Return the names of this run's images."""
    command = ["images", "--no-trunc", "--format", IMAGE_LINE, *docker.settings.labels]
    command += ["--filter", f"label={KIND_LABEL}={IMAGE_KIND}"]
    return [OwnImage(*fields) for fields in _lines(docker.text(command), 3)]


def container(docker: Docker, word: str) -> Container:
    """Return the container with this name or id; raises Denied."""
    prefix = docker.settings.own_name("x")[:-1]
    for candidate in containers(docker):
        if word in (candidate.name, candidate.name.removeprefix(prefix)):
            return candidate
        if len(word) >= MIN_ID and candidate.id.startswith(word):
            return candidate
    raise Denied(f"this run has no container {word[:100]!r}")


def image(docker: Docker, word: str) -> OwnImage | None:
    """Return the image with this tag, full name or id, if this run has built it."""
    names = {word, f"{word}:latest", _own_tag(docker, word)}
    for candidate in images(docker):
        digest = candidate.id.removeprefix("sha256:")
        is_id = len(word) >= MIN_ID and digest.startswith(word.removeprefix("sha256:"))
        if candidate.name in names or is_id:
            return candidate
    return None


def check_base(docker: Docker, name: str) -> None:
    """Raise ToolError or Denied for an image that a build must not begin with.

    The engine reads the name by itself, so it must be spelled out: a short one could be
    any image that lies on this machine.
    """
    own = {n for i in images(docker) for n in (i.name, i.id, i.id.removeprefix("sha256:"))}
    if name in own:
        return
    full = docker.settings.base_image(name)
    if not validators.image(name).domain:
        raise ToolError(f"Dockerfile: write {full} instead of {name}")


def facts(text: str) -> dict[str, Any]:
    """Return what is worth knowing; the rest are paths and settings of the host."""
    try:
        document = json.loads(text)
    except ValueError:
        raise ToolError("the engine's answer cannot be read") from None
    document = document[0] if isinstance(document, list) and document else document
    config = document.get("Config") or {}
    facts = {key: document[key] for key in INSPECTED if key in document}
    return facts | {"Config": {key: config[key] for key in INSPECTED_CONFIG if key in config}}


def _own_tag(docker: Docker, word: str) -> str:
    try:
        return docker.settings.own_tag(word)
    except ToolError:
        return word


def _lines(text: str, fields: int) -> list[list[str]]:
    """Return the fields of lines that the engine has formatted; warnings have fewer."""
    rows = [line.split("|") for line in text.splitlines()]
    return [row for row in rows if len(row) == fields]
