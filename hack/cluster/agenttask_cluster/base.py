"""A base image for builds without a registry: Debian with Python, made by debootstrap.

What goes in is decided by the files in hack/base; where it comes from, by the
package sources of this machine.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from . import archives, packages
from .binaries import CACHE, locked
from .errors import ClusterError
from .processes import run

FOLDER = Path(__file__).resolve().parents[2] / "base"
SUITE = "bookworm"
SOURCES = Path("/etc/apt")
NEEDS = {
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
CONFIG = {
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
    "Cmd": ["python3"],
}


def hash_folder(folder: Path = FOLDER) -> str:
    digest = hashlib.sha256(f"{SUITE} 1".encode())
    for file in sorted(folder.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def image_name() -> str:
    return f"localhost/agenttask/base:{SUITE}-{hash_folder()}"


def ensure_archive(report: Callable[[str], None]) -> Path:
    """The base image as an archive, built at most once."""
    folder = CACHE / f"base-{hash_folder()}"
    archive = folder / "image.tar"
    with locked(CACHE / "base.lock"):
        if not archive.exists():
            packages.ensure(NEEDS, report)
            report(f"Building the base image, once (Debian {SUITE} with Python)")
            _build(folder, archive)
    return archive


def _build(folder: Path, archive: Path) -> None:
    root, layer = folder / "rootfs", folder / "layer.tar"
    if root.exists():
        shutil.rmtree(root)
    root.mkdir(parents=True)
    include = ",".join((FOLDER / "packages").read_text().split())
    options = ("--variant=minbase", f"--include={include}", SUITE, str(root), find_mirror(SOURCES))
    # In a mount namespace of its own, so that a killed run leaves no mount behind.
    run("unshare", "--mount", "--propagation", "private", "debootstrap", *options)
    run("sh", str(FOLDER / "finish"), str(root))
    run("tar", "--numeric-owner", "--exclude=./dev/*", "-C", str(root), "-cf", str(layer), ".")
    archives.write(image_name(), layer, CONFIG, archive)
    layer.unlink()
    shutil.rmtree(root)


def find_mirror(folder: Path) -> str:
    """The address from which this machine installs the suite."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    units = sorted((folder / "sources.list.d").glob("*.sources"))
    lines = [file.read_text() for file in files if file.exists()]
    found = [source for text in lines for source in parse_lines(text)]
    found += [source for unit in units for source in parse_units(unit.read_text())]
    for address, suite in found:
        if suite == SUITE:
            return address
    debian = [address for address, _ in found if address.rstrip("/").endswith("/debian")]
    if not debian:
        raise ClusterError(
            f"no source of Debian packages in {folder}: set AGENTTASK_BASE=official or to an image"
        )
    return debian[0]


def parse_lines(text: str) -> Iterator[tuple[str, str]]:
    """Addresses and suites of a sources.list: `deb [options] address suite components`."""
    for line in text.splitlines():
        words = line.split("#")[0].replace("[", " [ ").replace("]", " ] ").split()
        if words[:1] != ["deb"]:
            continue
        if "]" in words:
            words = [words[0], *words[words.index("]") + 1 :]]
        if len(words) > 2:
            yield words[1], words[2]


def parse_units(text: str) -> Iterator[tuple[str, str]]:
    """Addresses and suites of a .sources file: paragraphs of `Field: words`."""
    for paragraph in text.split("\n\n"):
        lines = [
            line for line in paragraph.splitlines() if ":" in line and not line.startswith("#")
        ]
        fields = {
            name.strip().lower(): value.split()
            for name, _, value in (line.partition(":") for line in lines)
        }
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        for address in fields.get("uris", []):
            for suite in fields.get("suites", []):
                yield address, suite
