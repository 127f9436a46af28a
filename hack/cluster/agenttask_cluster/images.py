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
    run(str(ctr), "-a", str(layout.socket), "-n", "k8s.io", "images", "import", str(archive))


def stores(cache: Path) -> list[list[str]]:
    """Commands of the image stores on this machine, ours last."""
    own = ["buildah", "--root", str(cache / "containers"), "--runroot", str(cache / "containers-run")]
    known = [["docker"], ["podman"], ["buildah"], own]
    return [store for store in known if shutil.which(store[0])]


def find_store(image: str, cache: Path) -> list[str]:
    for store in stores(cache):
        kind = ["inspect", "--type", "image"] if store[0] == "buildah" else ["image", "inspect"]
        if succeeds(*store, *kind, image):
            return store
    raise ClusterError(f'image: "{image}" not present locally')


def load(layout: Layout, ctr: Path, images: list[str], cache: Path, report: Callable[[str], None]) -> None:
    found = [(image, find_store(image, cache)) for image in images]
    with tempfile.TemporaryDirectory(prefix="agenttask-images-") as folder:
        for image, store in found:
            report(f'Image: "{image}" from {store[0]}, loading onto node "{layout.node}"...')
            archive = Path(folder) / "image.tar"
            archive.unlink(missing_ok=True)
            save(store, image, archive)
            import_archive(layout, ctr, archive)


def save(store: list[str], image: str, archive: Path) -> None:
    if store[0] == "buildah":
        command = [*store, "push", "--quiet", image, f"docker-archive:{archive}:{image}"]
    else:
        command = [*store, "save", "-o", str(archive), image]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise ClusterError(f"{store[0]} cannot export {image!r}: {result.stderr.strip()}")
