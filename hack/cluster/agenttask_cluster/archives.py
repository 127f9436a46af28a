"""Write images as docker-archives, without any image tool."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import Any

NONROOT = "65532:65532"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def pack_program(image: str, binary: Path, archive: Path) -> Path:
    """An image of one static program; the same program always gives the same bytes."""
    if archive.exists():
        return archive
    layer = archive.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        _add(tar, binary.name, binary.read_bytes())
    config = {"Entrypoint": [f"/{binary.name}"], "User": NONROOT}
    write(image, layer, config, archive)
    layer.unlink()
    return archive


def write(image: str, layer: Path, config: dict[str, Any], archive: Path) -> None:
    """An image of one layer, an uncompressed tar file; it is there whole or not at all."""
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    text = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": config,
            # buildah counts layers here, too, when it builds on top.
            "history": [{"created_by": "agenttask"}],
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [image], "Layers": ["layer.tar"]}]
    unfinished = archive.with_suffix(".unfinished")
    with tarfile.open(unfinished, "w") as tar:
        _add(tar, name, text)
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        tar.add(layer, "layer.tar")
    unfinished.rename(archive)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o755
    tar.addfile(entry, io.BytesIO(content))
