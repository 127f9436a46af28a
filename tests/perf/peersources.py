"""Kelos and KubeOpenCode, built from their sources at fixed commits; none of it is kept here.

Sources come from git repositories on this machine: the Go module proxy has neither project.
What they need beside comes from the Go module proxy. Programs and resource definitions end up
in ~/.cache/agenttask/peers.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agenttask_testbed import images
from agenttask_testbed.commands import ROOT

sys.path.insert(0, str(ROOT / "hack" / "cluster"))

from agenttask_cluster.binaries import CACHE, build_environment
from agenttask_cluster.toolchain import ensure_go

PEERS = CACHE / "peers"
Object = dict[str, Any]


def rendered(folder: Path) -> list[Object]:
    """Return the definitions of a Helm chart, without webhooks: nothing here converts."""
    argv = [images.binary("helm"), "template", "peer", str(folder)]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = [definition for definition in yaml.safe_load_all(text) if definition]
    for definition in found:
        definition["spec"]["conversion"] = {"strategy": "None"}
    return found


def listed(folder: Path) -> list[Object]:
    """Return the definitions of a folder."""
    return [yaml.safe_load(file.read_text("utf-8")) for file in sorted(folder.glob("*.yaml"))]


@dataclass(frozen=True)
class Source:
    """What is built of a project, and from what."""

    name: str
    url: str
    commit: str
    program: str
    """The Go package of its controller."""
    folders: tuple[str, ...]
    """What of the source is needed."""
    read: Callable[[Path], list[Object]]
    definitions: str
    """The folder of its resource definitions."""
    empty: tuple[str, ...] = ()
    """Files that are compiled in and not needed: what another toolchain would have made."""


KELOS = Source(
    "kelos",
    "https://github.com/kelos-dev/kelos",
    "77d9ad8e9c8d559968dba176f7fc58f95ebd8b79",
    "./cmd/kelos-controller",
    (
        "go.mod",
        "go.sum",
        "api",
        "cmd",
        "internal",
        "pkg",
        ":(exclude)internal/manifests/install-crd.yaml",
    ),
    rendered,
    "internal/manifests/charts/kelos/charts/kelos-crds",
)
KUBEOPENCODE = Source(
    "kubeopencode",
    "https://github.com/kubeopencode/kubeopencode",
    "a50e64a817e7cf35a3ae2143834c7c76a2f074f8",
    "./cmd/kubeopencode",
    ("go.mod", "go.sum", "api", "cmd", "internal", "deploy/crds", "ui/embed.go"),
    listed,
    "deploy/crds",
    ("ui/dist/index.html",),
)


@dataclass(frozen=True)
class Built:
    """A controller and its resource definitions."""

    program: Path
    definitions: list[Object]


def built(source: Source, repository: Path) -> Built:
    """Build what is not built yet; raises SystemExit with what is wrong."""
    folder = PEERS / f"{source.name}-{source.commit[:12]}"
    program = folder / "controller"
    if not program.exists():
        _unpack(source, repository, folder)
        _compile(source, folder, program)
    return Built(program, source.read(folder / source.definitions))


def _unpack(source: Source, repository: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    git = ["git", "-C", str(repository), "archive", source.commit, "--", *source.folders]
    packed = subprocess.run(git, capture_output=True, check=False)
    if packed.returncode:
        words = packed.stderr.decode(errors="replace").strip()
        raise SystemExit(f"{repository} is no clone of {source.url} with the commit: {words}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    for name in source.empty:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()


def _compile(source: Source, folder: Path, program: Path) -> None:
    go = ensure_go(CACHE)
    argv = [go, "build", "-p", "2", "-ldflags", "-s -w", "-o", f"{program}.unfinished"]
    done = subprocess.run(
        [*argv, source.program],
        cwd=folder,
        env=build_environment(go, CACHE),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{source.name} is not built: {done.stderr.strip()[-2000:]}")
    Path(f"{program}.unfinished").rename(program)
