"""Build the programs of a cluster from the pinned Go modules, once, and find them again.

A program's folder in the cache is named by a hash of all that decides its content,
so a change of a pin builds anew and an old checkout still finds its own.
"""

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .errors import ClusterError
from .toolchain import ensure_go

CACHE = Path.home() / ".cache" / "agenttask"
MODULES = Path(__file__).resolve().parent.parent / "go"
KUBERNETES_VERSION = "v1.37.2"
BEAT_SECONDS = 20
_STRIP = "-s -w"
_STAMP = (
    f"{_STRIP} -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"
    " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37"
)
_CONTAINERD_TAGS = "no_btrfs no_aufs no_zfs no_devmapper"


@dataclass(frozen=True)
class Program:
    """A program and all that decides its content besides the module."""

    name: str
    module: str
    package: str
    ldflags: str = _STRIP
    tags: str = ""

    @property
    def flags(self) -> list[str]:
        tags = ["-tags", self.tags] if self.tags else []
        return [*tags, "-ldflags", self.ldflags]


def _kubernetes(name: str) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _STAMP)


def _containerd(name: str) -> Program:
    return Program(
        name, "containerd", f"github.com/containerd/containerd/v2/cmd/{name}", tags=_CONTAINERD_TAGS
    )


PROGRAMS = {
    program.name: program
    for program in (
        Program("pause", "pause", "."),
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        Program("coredns", "coredns", "."),
        *map(_containerd, ("containerd", "containerd-shim-runc-v2", "ctr")),
        *map(_kubernetes, ("kubectl", "kube-apiserver", "kube-controller-manager")),
        *map(_kubernetes, ("kube-scheduler", "kubelet", "kube-proxy")),
        Program("nats-server", "nats", "github.com/nats-io/nats-server/v2"),
        Program("nats-objects", "nats-objects", "."),
        Program("helm", "helm", "helm.sh/helm/v4/cmd/helm"),
        Program("kubeconform", "kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),
        Program("promtool", "promtool", "github.com/prometheus/prometheus/cmd/promtool"),
        Program(
            "kustomize-controller",
            "kustomize-controller",
            "github.com/fluxcd/kustomize-controller",
        ),
        Program("argocd", "argocd", "github.com/argoproj/argo-cd/v3/cmd"),
        Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    )
}
ON_DEMAND = ("nats-objects", "promtool", "kustomize-controller", "argocd", "kwok")
"""Built only when asked for by name, for what few need: minutes, but for the first."""
CLUSTER = [
    name for name in PROGRAMS if name not in ("nats-server", "helm", "kubeconform", *ON_DEMAND)
]


def hash_program(program: Program, modules: Path = MODULES) -> str:
    digest = hashlib.sha256()
    module = modules / program.module
    for file in sorted([module / "go.mod", *module.glob("go.sum"), *module.glob("*.go")]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    digest.update("\0".join([program.package, *program.flags]).encode())
    return digest.hexdigest()[:16]


def find_binary(name: str, cache: Path = CACHE) -> Path:
    """Where the program is, or will be once built."""
    return cache / "bin" / f"{name}-{hash_program(PROGRAMS[name])}" / name


def build_environment(go: str, cache: Path = CACHE) -> dict[str, str]:
    """The user's environment (proxies and mirrors count) with our caches and fixed flags."""
    return os.environ | {
        "PATH": f"{Path(go).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "GOCACHE": str(cache / "go-build"),
        "GOMODCACHE": str(cache / "go-mod"),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath",
        "CGO_ENABLED": "0",
        "GOWORK": "off",
    }


def ensure_binaries(
    names: Iterable[str], report: Callable[[str], None], cache: Path = CACHE
) -> dict[str, Path]:
    """Build what is missing, one program after the other, and return where all are."""
    paths = {name: find_binary(name, cache) for name in names}
    if all(path.exists() for path in paths.values()):
        return paths
    with locked(cache / "build.lock"):
        missing = [name for name, path in paths.items() if not path.exists()]
        for position, name in enumerate(missing, 1):
            words = f"Building {name} from source, once ({position}/{len(missing)})"
            report(words)
            _build(PROGRAMS[name], paths[name], cache, partial(report, words))
    return paths


def download_module(module: str, name: str, cache: Path = CACHE) -> Path:
    """Where the sources of a Go module are that one of ours pins; they are fetched once."""
    go = ensure_go(cache)
    done = subprocess.run(
        [go, "mod", "download", "-json", name],
        cwd=MODULES / module,
        env=build_environment(go, cache),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ClusterError(f"downloading {name} failed: {(done.stdout + done.stderr)[-2000:]}")
    return Path(json.loads(done.stdout)["Dir"])


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an advisory lock; it ends with the process, however that ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(program: Program, target: Path, cache: Path, beat: Callable[[], None]) -> None:
    go = ensure_go(cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    child = subprocess.Popen(
        [go, "build", *program.flags, "-o", str(unfinished), program.package],
        cwd=MODULES / program.module,
        env=build_environment(go, cache),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    errors = _wait(child, beat)
    if child.returncode != 0:
        raise ClusterError(f"building {program.name} failed: {errors.strip()[-2000:]}")
    unfinished.rename(target)


def _wait(child: "subprocess.Popen[str]", beat: Callable[[], None]) -> str:
    """Wait to the end, with a sign of life from time to time; an interrupt ends the child, too."""
    try:
        while True:
            try:
                return child.communicate(timeout=BEAT_SECONDS)[1]
            except subprocess.TimeoutExpired:
                beat()
    finally:
        child.kill()
        child.wait()
