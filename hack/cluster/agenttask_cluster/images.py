"""Bring images into a cluster: from archives, or from a store of this machine."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from .errors import ClusterError
from .layout import Layout
from .processes import run, succeeds


def import_archive(layout: Layout, ctr: Path, archive: Path) -> None:
    """Hand an archive, docker's or OCI's, to the cluster's containerd."""
    if not archive.is_file():
        raise ClusterError(f"no such image archive: {str(archive)!r}")
    _containerd(layout, ctr, "import", str(archive))


def stores(cache: Path) -> list[list[str]]:
    """Commands of the image stores on this machine, ours last."""
    own = [
        "buildah",
        "--root",
        str(cache / "containers"),
        "--runroot",
        str(cache / "containers-run"),
    ]
    known = [["docker"], ["podman"], ["buildah"], own]
    return [store for store in known if shutil.which(store[0])]


def find_store(image: str, cache: Path) -> list[str]:
    for store in stores(cache):
        kind = ["inspect", "--type", "image"] if store[0] == "buildah" else ["image", "inspect"]
        if succeeds(*store, *kind, image):
            return store
    raise ClusterError(f'image: "{image}" not present locally')


def load(
    layout: Layout, ctr: Path, images: list[str], cache: Path, report: Callable[[str], None]
) -> None:
    """Bring images into the cluster; those that are there already cost nothing."""
    found = [(image, find_store(image, cache)) for image in images]
    for image, store in found:
        number = read_number(store, image)
        subject, place = f'Image: "{image}" with ID "{number}"', f'on node "{layout.node}"'
        loaded = _containerd(layout, ctr, "list")
        if is_loaded(loaded, image, number):
            report(f"{subject} already present {place}")
            continue
        report(f"{subject} not yet present {place}, loading...")
        with tempfile.TemporaryDirectory(prefix="agenttask-images-") as folder:
            archive = Path(folder) / "image.tar"
            save(store, image, archive)
            import_archive(layout, ctr, archive)


def _containerd(layout: Layout, ctr: Path, *arguments: str) -> str:
    return run(str(ctr), "-a", str(layout.socket), "-n", "k8s.io", "images", *arguments)


def read_number(store: list[str], image: str) -> str:
    """The image's ID, sha256:..., which is the digest of its configuration."""
    if store[0] == "buildah":
        words = ["inspect", "--type", "image", "--format", "{{.FromImageID}}"]
    else:
        words = ["image", "inspect", "--format", "{{.Id}}"]
    return f"sha256:{run(*store, *words, image).strip().removeprefix('sha256:')}"


def is_loaded(listing: str, image: str, number: str) -> bool:
    """Whether containerd has this very image by this name, from what `ctr images list` prints."""
    rows = (line.split() for line in listing.splitlines()[1:])
    targets = {row[0]: row[2] for row in rows if len(row) > 2}
    names = (image, f"docker.io/library/{image}", f"docker.io/{image}")
    return number in targets and any(targets.get(name) == targets[number] for name in names)


def save(store: list[str], image: str, archive: Path) -> None:
    if store[0] == "buildah":
        command = [*store, "push", "--quiet", image, f"docker-archive:{archive}:{image}"]
    else:
        command = [*store, "save", "-o", str(archive), image]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise ClusterError(f"{store[0]} cannot export {image!r}: {result.stderr.strip()}")
