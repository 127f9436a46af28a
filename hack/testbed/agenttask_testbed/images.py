"""Build the images from their Dockerfiles and load them into a cluster."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

from agenttask_testbed.commands import ROOT, CommandFailed, run

IMAGES = str(ROOT / "hack" / "images")
KIND = str(ROOT / "hack" / "cluster" / "kind")


@dataclass(frozen=True)
class Image:
    """An image of ours: its name and the Dockerfile it comes from."""

    name: str
    dockerfile: str
    context: str = "."
    target: str = ""
    """A stage of the Dockerfile; empty = the last one."""

    @property
    def tag(self) -> str:
        """The name by which manifests know it."""
        return f"localhost/agenttask/{self.name}:dev"


PRODUCT = (Image("operator", "Dockerfile.operator"), Image("agent", "Dockerfile.agent"))
CONTAINERS = Image("agent-containers", "Dockerfile.agent", target="containers")
FULL = Image("agent-full", "Dockerfile.agent", target="full")
GIT_SERVER = Image(
    "git-server", "hack/testbed/git-server/Dockerfile", context="hack/testbed/git-server"
)
REDIS = Image("redis", "hack/testbed/redis-server/Dockerfile", context="hack/testbed/redis-server")
NATS = Image("nats", "hack/testbed/nats/Dockerfile")
ALL = (*PRODUCT, GIT_SERVER, NATS)


def binary(name: str) -> str:
    """Return the path of a program that hack/cluster builds, building it when missing."""
    return run(KIND, "binary", name).strip()


def build(image: Image, context: str | None = None) -> None:
    """Build one image; unchanged layers come from the cache."""
    target = ("--target", image.target) if image.target else ()
    run(
        IMAGES, "build", image.name, "--tag", image.tag,
        "--file", str(ROOT / image.dockerfile), *target,
        "--context", context or str(ROOT / image.context),
    )  # fmt: skip


def build_nats() -> None:
    """Build the NATS image around the nats-server that hack/cluster builds."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(binary("nats-server"), Path(folder) / "nats-server")
        build(NATS, context=folder)


def cluster_tool() -> str:
    """Return the real kind where it and Docker work, else ours, which needs neither."""
    if shutil.which("docker") and shutil.which("kind"):
        try:
            run("docker", "info", timeout=30)
        except (CommandFailed, TimeoutExpired):
            return KIND
        return "kind"
    return KIND


def load(image: Image, cluster: str, kind: str = KIND) -> None:
    """Put an image into the cluster's container runtime."""
    with tempfile.TemporaryDirectory() as folder:
        archive = str(Path(folder) / f"{image.name}.tar")
        run(IMAGES, "archive", image.tag, archive)
        run(kind, "load", "image-archive", archive, "--name", cluster)


def build_and_load(cluster: str, say: Callable[[str], None], kind: str = KIND) -> None:
    """Build all images and load them into the cluster, telling what is being done."""
    build_all(ALL, say)
    for image in ALL:
        load(image, cluster, kind)


def build_all(images: Iterable[Image], say: Callable[[str], None]) -> None:
    """Build images, telling what is being done."""
    for image in images:
        say(f"image {image.name}")
        build_nats() if image is NATS else build(image)
