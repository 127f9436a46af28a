"""The walls of the workspace: no path operation leaves the folder it was given.

Every path is walked from an open descriptor of the root, one component at a time,
following no symbolic link; the last step works on the descriptor of its folder, so
a folder swapped for a link between check and use leads nowhere. `.git` at any depth
belongs to the git operations: whoever writes there can make git run programs.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agenttask_agent.tools.refusal import Denied, ToolError

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
GIT_NAMES = frozenset({".git", "git~1"})
IGNORED_BY_SOME_FILESYSTEMS = dict.fromkeys(map(ord, "\u200c\u200d\u200e\u200f\u2060\ufeff"))
MAX_READ_BYTES = 10 * 1024**2
MAX_WRITE_BYTES = 2 * 1024**2
TEMPORARY = ".agenttask-"


@dataclass(frozen=True)
class Place:
    """The open folder that a path's last component lies in, and that component."""

    folder: int
    name: str
    path: str


class Workspace:
    """One folder, held open from the beginning."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._fd = os.open(root, DIRECTORY)

    def close(self) -> None:
        os.close(self._fd)

    @contextlib.contextmanager
    def place(self, path: str, *, create: bool = False) -> Iterator[Place]:
        """Open the folder that `path` lies in; its missing parents only with `create`."""
        parts = split(path)
        if not parts:
            raise ToolError("this path is the workspace itself; name something inside it")
        with self._walk(parts[:-1], create) as folder:
            yield Place(folder, parts[-1], "/".join(parts))

    @contextlib.contextmanager
    def folder(self, path: str, *, create: bool = False) -> Iterator[int]:
        """Open the folder that `path` names."""
        with self._walk(split(path), create) as folder:
            yield folder

    def read(self, path: str) -> bytes:
        """Return a regular file's content, at most MAX_READ_BYTES."""
        with self.place(path) as place:
            return self.read_at(place)

    def read_at(self, place: Place) -> bytes:
        """Return the content of the regular file at an open place."""
        descriptor = self.open_at(place)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_READ_BYTES + 1)
        if len(content) > MAX_READ_BYTES:
            raise ToolError(f"{place.path!r} is larger than {MAX_READ_BYTES} bytes")
        return content

    def open_at(self, place: Place) -> int:
        """Return a descriptor for reading; only regular files are ever opened for good."""
        with explained(place.path):
            descriptor = os.open(place.name, FILE, dir_fd=place.folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ToolError(f"{place.path!r} is not a regular file")
        return descriptor

    def state(self, place: Place) -> os.stat_result | None:
        """Return what is at the place, links not followed; None when nothing is."""
        with explained(place.path):
            return _state(place.folder, place.name)

    def write(self, path: str, content: bytes, *, create_folders: bool = False) -> None:
        """Replace or create a regular file in one step, keeping its mode."""
        with self.place(path, create=create_folders) as place:
            self.write_at(place, content)

    def write_at(self, place: Place, content: bytes) -> None:
        """Replace or create the regular file at an open place."""
        if len(content) > MAX_WRITE_BYTES:
            raise ToolError(f"{len(content)} bytes are more than {MAX_WRITE_BYTES} allowed")
        mode = self._mode_for_writing(place)
        temporary = f"{TEMPORARY}{secrets.token_hex(8)}"
        with explained(place.path):
            descriptor = os.open(temporary, CREATE, 0o600, dir_fd=place.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
            os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
        except OSError as error:
            raise ToolError(f"{place.path!r}: {error.strerror}") from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=place.folder)

    def make_folder(self, path: str, *, parents: bool = False) -> bool:
        """Create a folder; return False when it was there already."""
        with self.place(path, create=parents) as place:
            try:
                os.mkdir(place.name, 0o777, dir_fd=place.folder)
            except FileExistsError:
                with self.folder(path):
                    return False
            except OSError as error:
                raise ToolError(f"{place.path!r}: {error.strerror}") from error
        return True

    def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete a file, a link (not what it points to) or a folder."""
        with self.place(path) as place:
            state = self.state(place)
            if state is None:
                raise ToolError(f"{place.path!r} does not exist")
            with explained(place.path):
                if stat.S_ISDIR(state.st_mode):
                    self._delete_folder(place, recursive)
                else:
                    os.unlink(place.name, dir_fd=place.folder)

    def _delete_folder(self, place: Place, recursive: bool) -> None:
        with explained(place.path):
            folder = os.open(place.name, DIRECTORY, dir_fd=place.folder)
        try:
            with os.scandir(folder) as entries:
                empty = next(entries, None) is None
            if not empty and not recursive:
                raise ToolError(f"{place.path!r} is a folder that is not empty; use recursive")
            if any(
                is_git_name(n)
                for _, folders, files, _ in os.fwalk(dir_fd=folder)
                for n in folders + files
            ):
                raise Denied(f"{place.path!r} contains a git repository")
        finally:
            os.close(folder)
        shutil.rmtree(place.name, dir_fd=place.folder)

    def check_writable(self, place: Place) -> None:
        """Raise Denied for what is never written: links of either kind, special files."""
        self._mode_for_writing(place)

    def _mode_for_writing(self, place: Place) -> int:
        state = self.state(place)
        if state is None:
            return 0o644
        if stat.S_ISLNK(state.st_mode):
            raise Denied(f"{place.path!r} is a symbolic link; name the file it points to")
        if not stat.S_ISREG(state.st_mode):
            raise Denied(f"{place.path!r} is not a regular file")
        if state.st_nlink > 1:
            raise Denied(f"{place.path!r} has {state.st_nlink} hard links")
        return stat.S_IMODE(state.st_mode) & 0o777

    @contextlib.contextmanager
    def _walk(self, parts: list[str], create: bool) -> Iterator[int]:
        current = os.dup(self._fd)
        try:
            for index, part in enumerate(parts):
                entered = _enter(current, part, "/".join(parts[: index + 1]), create)
                os.close(current)
                current = entered
            yield current
        finally:
            os.close(current)


def split(path: str) -> list[str]:
    """Return the components of a relative path; raises ToolError or Denied."""
    if "\0" in path or any("\ud800" <= c <= "\udfff" for c in path):
        raise ToolError("the path holds characters that no path has")
    if path.startswith("/"):
        raise Denied(f"{path!r} is absolute; paths are relative to the workspace")
    parts = [part for part in PurePosixPath(path).parts if part != "."]
    if ".." in parts:
        raise Denied(f"{path!r} holds '..'; paths stay inside the workspace")
    if any(is_git_name(part) for part in parts):
        raise Denied(f"{path!r} is git's own; use the git operations")
    return parts


def is_git_name(name: str) -> bool:
    """Say whether some file system takes this name for `.git`."""
    plain = name.translate(IGNORED_BY_SOME_FILESYSTEMS).casefold().rstrip(" .")
    return plain in GIT_NAMES or plain.split(":", 1)[0] in GIT_NAMES


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn the errors of the operating system into ones for the model."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise Denied(f"{path!r} is a symbolic link; name the file it points to") from error
        raise ToolError(f"{path!r}: {(error.strerror or 'failed').lower()}") from error


def _enter(folder: int, name: str, path: str, create: bool) -> int:
    if create:
        with contextlib.suppress(FileExistsError), explained_mkdir(path):
            os.mkdir(name, 0o777, dir_fd=folder)
    try:
        return os.open(name, DIRECTORY, dir_fd=folder)
    except NotADirectoryError:
        _refuse_link(folder, name, path)
        raise ToolError(f"{path!r} is not a folder") from None
    except OSError as error:
        with explained(path):
            raise error


@contextlib.contextmanager
def explained_mkdir(path: str) -> Iterator[None]:
    """As `explained`, letting an existing folder through."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise ToolError(f"{path!r}: {(error.strerror or 'failed').lower()}") from error


def _refuse_link(folder: int, name: str, path: str) -> None:
    state = _state(folder, name)
    if state and stat.S_ISLNK(state.st_mode):
        raise Denied(f"{path!r} is a symbolic link; links are not followed")


def _state(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
