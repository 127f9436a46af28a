"""Packs the folder that a build may see into an archive, through the workspace's walls.

The engine gets an archive, never a path: what is in it was opened from the workspace's
descriptor without following a link, so nothing outside is read, and nothing that a
container swaps meanwhile leads anywhere. Links travel as links. `.git` stays out.
"""

import io
import os
import shutil
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agenttask_agent.tools import docker_file, textfile
from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.workspace import DIRECTORY, FILE, Workspace, is_git_name, split

MAX_ENTRIES = 50_000
IGNORE_FILES = frozenset({".dockerignore", ".containerignore"})
"""The engine reads them on its own side, so they must not be links there."""


@dataclass
class Packer:
    """Writes one archive; raises ToolError when it gets too large."""

    archive: tarfile.TarFile
    bytes_left: int
    replaced: str
    """The path whose content the caller adds itself."""
    entries_left: int = MAX_ENTRIES

    def folder(self, descriptor: int, prefix: str) -> None:
        """Add what is in an open folder, and what is below."""
        for name in sorted(os.listdir(descriptor)):
            path = f"{prefix}{name}"
            if is_git_name(name) or path == self.replaced:
                continue
            state = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            self._count(path, state.st_size if stat.S_ISREG(state.st_mode) else 0)
            if stat.S_ISDIR(state.st_mode):
                self._subfolder(descriptor, name, path)
            elif stat.S_ISREG(state.st_mode):
                self._file(descriptor, name, path)
            elif stat.S_ISLNK(state.st_mode) and name not in IGNORE_FILES:
                self._link(os.readlink(name, dir_fd=descriptor), path)

    def content(self, path: str, content: bytes) -> None:
        """Add a file whose content is known."""
        self.archive.addfile(_entry(path, 0o644, len(content)), io.BytesIO(content))

    def _subfolder(self, folder: int, name: str, path: str) -> None:
        entry = _entry(path, 0o755, 0)
        entry.type = tarfile.DIRTYPE
        self.archive.addfile(entry)
        opened = os.open(name, DIRECTORY, dir_fd=folder)
        try:
            self.folder(opened, f"{path}/")
        finally:
            os.close(opened)

    def _file(self, folder: int, name: str, path: str) -> None:
        descriptor = os.open(name, FILE, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise ToolError(f"{path!r} changed while it was read")
            mode = 0o755 if state.st_mode & 0o100 else 0o644
            self.archive.addfile(_entry(path, mode, state.st_size), file)

    def _link(self, target: str, path: str) -> None:
        entry = _entry(path, 0o777, 0)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self.archive.addfile(entry)

    def _count(self, path: str, size: int) -> None:
        self.bytes_left -= size
        self.entries_left -= 1
        if self.bytes_left < 0 or self.entries_left < 0:
            raise ToolError(f"the build context is too large; {path!r} no longer fits in")


def pack(
    workspace: Workspace,
    context: str,
    dockerfile: str,
    settings: DockerSettings,
    base: docker_file.Base,
    target: IO[bytes],
) -> str:
    """Write the archive of a context; return the Dockerfile's path in it.

    The Dockerfile that was checked is the one that is packed.
    """
    inside = "/".join(split(dockerfile))
    if inside.endswith(".in"):
        raise Denied("a Dockerfile that ends in .in would go through the C preprocessor")
    content = workspace.read("/".join([*split(context), inside]))
    text = textfile.decode(content, dockerfile).text
    docker_file.check(text, network=settings.build_network, base=base)
    try:
        _write(
            workspace, context, Packer(_archive(target), settings.context_bytes, inside), content
        )
    except (OSError, RecursionError, UnicodeError, ValueError) as error:
        raise ToolError(f"the build context cannot be read: {error}") from error
    target.seek(0)
    return inside


def unpack(archive: IO[bytes], folder: Path) -> str:
    """Lay the archive out in a new folder of ours and return its path.

    For podman's client at a distance, which without root takes an archive for a Dockerfile.
    """
    folder.mkdir()
    root = folder.resolve()
    try:
        with tarfile.open(fileobj=archive) as tar:
            for entry in tar:
                _lay_out(tar, entry, root / entry.name)
    except (OSError, tarfile.TarError) as error:
        raise ToolError(f"the build context cannot be laid out: {error}") from error
    return str(root)


def _lay_out(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    if target.parent.resolve() != target.parent:
        raise ToolError(f"{entry.name!r} changed while it was read")
    content = tar.extractfile(entry) if entry.isreg() else None
    if entry.issym():
        target.symlink_to(entry.linkname)
    elif content is None:
        target.mkdir()
    else:
        with content, target.open("xb") as file:
            shutil.copyfileobj(content, file)
        target.chmod(entry.mode)


def _archive(target: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT)


def _write(workspace: Workspace, context: str, packer: Packer, dockerfile: bytes) -> None:
    with packer.archive, workspace.folder(context) as folder:
        packer.folder(folder, "")
        packer.content(packer.replaced, dockerfile)


def _entry(path: str, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mode, entry.size = mode, size
    return entry
