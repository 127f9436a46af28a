"""Rescue unfinished work from the workspace of an agent that is gone.

git never runs in the workspace: a repository in there carries configuration that
runs programs. So the tree is walked here, following no link, skipping every `.git`,
capped in depth, files and bytes; contents become blobs without filters, and a private
index on top of the base makes a tree that is good for a patch and nothing else.
"""

import hashlib
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from agenttask_courier.changes import GITLINK
from agenttask_courier.git import Git

MAX_FILES = 50_000
MAX_CHANGED = 2_000
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_TOTAL_BYTES = 256 * 1024 * 1024
MAX_DEPTH = 64
MAX_SECONDS = 20.0
_REPOSITORY = frozenset({b".git", b"git~1"})
LEFT_OUT = frozenset(
    {b"__pycache__", b"node_modules", b".venv", b"venv", b".tox", b".mypy_cache", b".ruff_cache"}
    | {b".pytest_cache"}
)
"""Folders that tools fill: what the base has in them stays as it is."""


class SalvageLimit(Exception):
    """The workspace is larger than we are ready to look at."""


@dataclass(frozen=True)
class Item:
    """A file or link of the base or of the workspace."""

    mode: str
    id: str


@dataclass
class _Walk:
    """What was found so far, and what it has cost."""

    base: dict[bytes, Item]
    git: Git
    deadline: float
    seen: set[bytes] = field(default_factory=set)
    kept: list[bytes] = field(default_factory=list)
    """Folders that were not looked into."""
    changed: dict[bytes, Item] = field(default_factory=dict)
    total: int = 0


def salvage_tree(git: Git, workspace: Path, base: str, tmp: Path) -> str:
    """Return a tree of the workspace's files on top of the base; raises SalvageLimit."""
    walk = _Walk(_base_items(git, base), git, time.monotonic() + MAX_SECONDS)
    root = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _folder(walk, root, b"", 0)
    finally:
        os.close(root)
    return _tree(git, base, walk, tmp / "salvage.index")


def _base_items(git: Git, base: str) -> dict[bytes, Item]:
    records = git.run("ls-tree", "-r", "-z", base).split(b"\0")[:-1]
    items = {}
    for record in records:
        facts, path = record.split(b"\t", 1)
        mode, _, object_id = facts.split(b" ")
        items[path] = Item(mode.decode(), object_id.decode())
    return items


def _folder(walk: _Walk, handle: int, prefix: bytes, depth: int) -> None:
    for name in sorted(os.fsencode(n) for n in os.listdir(handle)):
        if name.lower() in _REPOSITORY:
            continue
        path = prefix + name
        if time.monotonic() > walk.deadline or len(walk.seen) > MAX_FILES or depth > MAX_DEPTH:
            raise SalvageLimit("the workspace is too large to salvage")
        if name in LEFT_OUT:
            walk.kept.append(path + b"/")
            continue
        _entry(walk, handle, name, path, depth)


def _entry(walk: _Walk, folder: int, name: bytes, path: bytes, depth: int) -> None:
    """Look at one directory entry; what vanishes or cannot be read counts as unchanged."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            _subfolder(walk, folder, name, path, depth)
        elif stat.S_ISLNK(mode):
            _keep(walk, path, "120000", os.readlink(name, dir_fd=folder))
        elif stat.S_ISREG(mode):
            _file(walk, folder, name, path)
    except OSError:
        walk.seen.add(path)
        walk.kept.append(path + b"/")


def _subfolder(walk: _Walk, folder: int, name: bytes, path: bytes, depth: int) -> None:
    if path in walk.base and walk.base[path].mode == GITLINK:
        return  # A submodule: its files are no part of this repository.
    handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        _folder(walk, handle, path + b"/", depth + 1)
    finally:
        os.close(handle)


def _file(walk: _Walk, folder: int, name: bytes, path: bytes) -> None:
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_FILE_BYTES:
            walk.seen.add(path)
            return
        content = file.read(MAX_FILE_BYTES)
    _keep(walk, path, "100755" if facts.st_mode & stat.S_IXUSR else "100644", content)


def _keep(walk: _Walk, path: bytes, mode: str, content: bytes) -> None:
    walk.seen.add(path)
    walk.total += len(content)
    if walk.total > MAX_TOTAL_BYTES or len(walk.changed) >= MAX_CHANGED:
        raise SalvageLimit("the workspace has changed too much to salvage")
    before = walk.base.get(path)
    if before != Item(mode, _blob_id(content, before)):
        walk.changed[path] = Item(mode, _write_blob(walk.git, content))


def _blob_id(content: bytes, like: Item | None) -> str:
    algorithm = hashlib.sha256 if like and len(like.id) == 64 else hashlib.sha1
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()


def _write_blob(git: Git, content: bytes) -> str:
    return git.run("hash-object", "-w", "--no-filters", "--stdin", stdin=content).decode().strip()


def _tree(git: Git, base: str, walk: _Walk, index: Path) -> str:
    index.unlink(missing_ok=True)
    extra = {"GIT_INDEX_FILE": str(index)}
    git.run("read-tree", base, extra=extra)
    lines = [b"0 %s\t%s\0" % (walk.base[p].id.encode(), p) for p in _deleted(walk)]
    lines += [b"%s %s\t%s\0" % (i.mode.encode(), i.id.encode(), p) for p, i in walk.changed.items()]
    # Names that only other systems find harmful: nobody checks this tree out.
    lenient = ("core.protectNTFS=false", "core.protectHFS=false")
    git.run(
        "update-index",
        "--replace",
        "-z",
        "--index-info",
        stdin=b"".join(lines),
        extra=extra,
        config=lenient,
    )
    tree = git.run("write-tree", extra=extra, config=lenient).decode().strip()
    index.unlink(missing_ok=True)
    return tree


def _deleted(walk: _Walk) -> list[bytes]:
    """Return the base's paths that are gone; submodules and unseen folders stay."""
    kept = tuple(walk.kept)
    return [
        path
        for path, item in walk.base.items()
        if path not in walk.seen and item.mode != GITLINK and not path.startswith(kept)
    ]
