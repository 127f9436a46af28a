"""Build images from Dockerfiles with whatever this machine has for that.

docker or podman when they work; else buildah, which needs no daemon, with a
store of its own, so that the user's stays as it is.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import base, images, layers, packages
from .binaries import CACHE, locked
from .errors import ClusterError
from .progress import Progress

OFFICIAL = "docker.io/library/python:3.13-slim-bookworm"
PULL_SECONDS = 30
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
STORE_FOLDER = CACHE / "containers"
STORE = ["--root", str(STORE_FOLDER), "--runroot", str(CACHE / "containers-run")]


@dataclass(frozen=True)
class Builder:
    """The tool that builds, with the options that every call of it needs."""

    command: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.command[0]

    @property
    def is_buildah(self) -> bool:
        return self.name == "buildah"


def main(line: list[str]) -> int:
    given = _parser().parse_args(line)
    try:
        with Progress() as progress:
            if given.order == "clean":
                clean()
                return 0
            builder = choose_builder(progress)
            if given.order == "run":
                return run_in(builder, given.image, given.mount, given.command)
            if given.order == "archive":
                archive(builder, given.image, given.file)
            else:
                print(build(builder, given, progress))
    except (ClusterError, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack/images", description="Build the project's images.")
    orders = parser.add_subparsers(dest="order", required=True)
    order = orders.add_parser("build", help="build an image and print its tag")
    order.add_argument("name")
    order.add_argument("--file", type=Path, required=True, help="the Dockerfile")
    order.add_argument("--target", help="a stage of the Dockerfile")
    order.add_argument("--tag", help="default: localhost/agenttask/NAME:dev")
    order.add_argument(
        "--base", help="official, debootstrap or an image; default: $AGENTTASK_BASE or what works"
    )
    order.add_argument("--context", type=Path, default=Path(), help="default: the current folder")
    order.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    order = orders.add_parser(
        "archive", help="write an image to a file for `kind load image-archive`"
    )
    order.add_argument("image")
    order.add_argument("file", type=Path)
    order = orders.add_parser("run", help="run a command in an image, as its user and offline")
    order.add_argument("image")
    order.add_argument("--mount", action="append", default=[], metavar="FOLDER:TARGET")
    order.add_argument("command", nargs="+", metavar="-- COMMAND", help="program and arguments")
    orders.add_parser("clean", help="unmount what our buildah store keeps mounted")
    return parser


def clean() -> None:
    """Unmount our buildah store: builds that were cut off, and the store's own folder."""
    store = str(CACHE / "containers")
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{store}/")), reverse=True):
        subprocess.run(["umount", mount], check=False)


def choose_builder(progress: Progress) -> Builder:
    """Buildah before podman: its own store and chroot keep builds apart from a user's containers.

    A docker command without its daemon builds nothing, so it is asked, not looked up.
    """
    if shutil.which("docker") and is_answering("docker", "info"):
        return Builder(("docker",))
    if not packages.can_have("buildah") and is_answering("podman", "info"):
        return Builder(("podman",))
    with locked(CACHE / "packages.lock"):
        packages.ensure({"buildah": "buildah"}, progress.step)
    return Builder(("buildah", *STORE))


def is_answering(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=PULL_SECONDS).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def build(builder: Builder, given: argparse.Namespace, progress: Progress) -> str:
    if not given.file.is_file():
        raise ClusterError(f"no such Dockerfile: {str(given.file)!r}")
    tag: str = given.tag or f"localhost/agenttask/{given.name}:dev"
    image = choose_base(builder, given.base or os.environ.get("AGENTTASK_BASE", ""), progress)
    progress.step(f"Building {tag} with {builder.name} from {image}")
    with tempfile.TemporaryDirectory(prefix="agenttask-build-") as folder:
        mounts = find_mounts(os.environ, Path(folder))
        options = build_options(builder, image, mounts, os.environ)
        target = ["--target", given.target] if given.target else []
        arguments = [part for value in given.build_arg for part in ("--build-arg", value)]
        rest = ["-t", tag, "-f", str(given.file), str(given.context)]
        _build([*options, *target, *arguments, *rest], builder)
    return tag


def _build(command: list[str], builder: Builder) -> None:
    """Build; in a store of our own, also remove what builds have not used for long."""
    if not builder.is_buildah:
        _run(command)
        return
    with layers.building(STORE_FOLDER):
        said = _listen(command)
    layers.prune(builder.command, STORE_FOLDER, said)


def choose_base(builder: Builder, wish: str, progress: Progress) -> str:
    """The image to build from; the one made here is loaded into the builder's store."""
    if wish == "official" or (not wish and can_pull(builder)):
        return OFFICIAL
    if wish and wish != "debootstrap":
        return wish
    if not is_answering(*inspect(builder, base.image_name())):
        _load(builder, base.ensure_archive(progress.step))
    return base.image_name()


def can_pull(builder: Builder) -> bool:
    """Whether the registry answers soon; without docker or podman it is not even asked."""
    if builder.is_buildah:
        return False
    return is_answering(*inspect(builder, OFFICIAL)) or is_answering(
        *builder.command, "pull", OFFICIAL
    )


def inspect(builder: Builder, image: str) -> list[str]:
    words = ["inspect", "--type", "image"] if builder.is_buildah else ["image", "inspect"]
    return [*builder.command, *words, image]


def _load(builder: Builder, file: Path) -> None:
    words = ["pull", f"docker-archive:{file}"] if builder.is_buildah else ["load", "-i", str(file)]
    _run([*builder.command, *words])


def find_mounts(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Files of this machine that a build needs to reach the package index, and no image keeps."""
    mounts = {}
    if Path(env.get("SSL_CERT_FILE", "")).is_file():
        mounts[env["SSL_CERT_FILE"]] = "/etc/ssl/certs/ca-certificates.crt"
    settings = {
        key: env.get(f"PIP_{key.upper().replace('-', '_')}")
        for key in ("index-url", "extra-index-url")
    }
    lines = [f"{key} = {value}" for key, value in settings.items() if value]
    if lines:
        file = folder / "pip.conf"
        file.write_text("\n".join(["[global]", *lines, ""]))
        mounts[str(file)] = "/etc/pip.conf"
    return mounts


def build_options(
    builder: Builder, image: str, mounts: Mapping[str, str], env: Mapping[str, str]
) -> list[str]:
    """Docker takes no mounts for a build; buildah needs no kernel rights with chroot."""
    kinds = {"docker": ["build"], "podman": ["build", "--layers"]}
    words = kinds.get(builder.name, ["bud", "--isolation", "chroot", "--layers"])
    if image.startswith("localhost/") and builder.name != "docker":
        words.append("--pull-never" if builder.is_buildah else "--pull=never")
    if builder.name != "docker":
        words += [
            part for source, target in mounts.items() for part in ("-v", f"{source}:{target}:ro")
        ]
    words += [
        part for name in PROXIES if env.get(name) for part in ("--build-arg", f"{name}={env[name]}")
    ]
    return [*builder.command, *words, "--build-arg", f"BASE_IMAGE={image}"]


def archive(builder: Builder, image: str, file: Path) -> None:
    """Replace the file only when the new one is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    images.save(list(builder.command), image, unfinished)
    unfinished.rename(file)


def run_in(builder: Builder, image: str, mounts: list[str], command: list[str]) -> int:
    """Run a command without network, capabilities and traces; return its exit code."""
    volumes = [part for mount in mounts for part in ("-v", f"{mount}:ro")]
    if not builder.is_buildah:
        walls = ["--rm", "--network=none", "--cap-drop=all", "--security-opt=no-new-privileges"]
        start = [*builder.command, "run", *walls, *volumes, image, *command]
        return subprocess.run(start).returncode
    made = subprocess.run(
        [*builder.command, "from", "--pull-never", image], stdout=subprocess.PIPE, text=True
    )
    if made.returncode != 0:
        raise ClusterError(f"there is no image {image}: build it with hack/images build")
    name = made.stdout.strip()
    try:
        # buildah's chroot has no network of its own, so it gets one from outside: loopback.
        walls = ["--isolation", "chroot", "--cap-drop", "all", *volumes]
        offline = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        start = [*offline, *builder.command, "run", *walls, name, "--", *command]
        return subprocess.run(start).returncode
    finally:
        subprocess.run([*builder.command, "rm", name], stdout=subprocess.DEVNULL, check=False)


def _listen(command: list[str]) -> str:
    """Run a builder as `_run` does, and return what it said."""
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            sys.stderr.write(line)
            said.append(line)
    if process.returncode != 0:
        raise ClusterError(f"{command[0]} ended with status {process.returncode}")
    return "".join(said)


def _run(command: list[str]) -> None:
    """Builders speak on both streams; ours for answers stays clean."""
    result = subprocess.run(command, stdout=sys.stderr.fileno())
    if result.returncode != 0:
        raise ClusterError(f"{command[0]} ended with status {result.returncode}")
