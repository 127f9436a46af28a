"""Packs that no git would write: bad trees, bad submodule files, delta bombs and chains."""

import hashlib
import struct
import zlib
from pathlib import Path

import pytest
from tests.courier.conftest import git
from tests.courier.test_intake import MIB, base_of, pristine  # noqa: F401 - a fixture

from agenttask_courier.git import Git
from agenttask_courier.intake import BundleRefused, BundleUnusable, take_in
from agenttask_courier.places import Places

COMMIT, TREE, BLOB, OFS_DELTA = 1, 2, 3, 6
KINDS = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}
FILE, FOLDER, LINK = b"100644", b"40000", b"120000"


class Pack:
    """A pack under construction."""

    def __init__(self) -> None:
        self.body, self.count = bytearray(), 0

    def add(self, kind: int, content: bytes) -> str:
        """Add an object and return its id."""
        self._entry(kind, len(content), b"", content)
        header = b"%s %d\0" % (KINDS[kind], len(content))
        return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()

    def add_delta(self, back: int, delta: bytes) -> None:
        """Add a delta of the object so many bytes before."""
        self._entry(OFS_DELTA, len(delta), offset(back), delta)

    @property
    def position(self) -> int:
        return len(self.body)

    def _entry(self, kind: int, size: int, reference: bytes, content: bytes) -> None:
        self.body += head(kind, size) + reference + zlib.compress(content)
        self.count += 1

    def bundle(self, tip: str, base: str) -> bytes:
        pack = b"PACK" + struct.pack(">II", 2, self.count) + bytes(self.body)
        pack += hashlib.sha1(pack, usedforsecurity=False).digest()
        return f"# v2 git bundle\n-{base}\n{tip} HEAD\n\n".encode() + pack


def head(kind: int, size: int) -> bytes:
    """Return a pack entry's type and size."""
    first, size = (kind << 4) | (size & 15), size >> 4
    out = bytearray()
    while size:
        out.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    return bytes(out) + bytes([first])


def offset(back: int) -> bytes:
    """Return the distance to a delta's base."""
    out = bytearray([back & 0x7F])
    while back := back >> 7:
        back -= 1
        out.insert(0, 0x80 | (back & 0x7F))
    return bytes(out)


def number(value: int) -> bytes:
    """Return a delta's size."""
    out = bytearray()
    while value >= 0x80:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    return bytes(out) + bytes([value])


def tree(*entries: tuple[bytes, bytes, str]) -> bytes:
    return b"".join(b"%s %s\0" % (m, n) + bytes.fromhex(i) for m, n, i in entries)


def commit(tree_id: str, base: str) -> bytes:
    who = "X <x@example.com> 1700000000 +0000"
    return f"tree {tree_id}\nparent {base}\nauthor {who}\ncommitter {who}\n\nwork\n".encode()


def delivered(places: Places, pack: Pack, tip: str, base: str) -> Path:
    path = places.tmp / "hostile.bundle"
    path.write_bytes(pack.bundle(tip, base))
    return path


def bundle_of(places: Places, *entries: tuple[bytes, bytes, bytes]) -> Path:
    """Return a bundle of one commit whose tree has these modes, names and contents."""
    pack, base = Pack(), base_of(places)
    listed = [(mode, name, pack.add(BLOB, content)) for mode, name, content in entries]
    if any(mode == FOLDER for mode, _, _ in entries):
        inner = pack.add(TREE, tree((FILE, b"x", pack.add(BLOB, b"x"))))
        listed = [(m, n, inner if m == FOLDER else i) for m, n, i in listed]
    return delivered(
        places, pack, pack.add(COMMIT, commit(pack.add(TREE, tree(*listed)), base)), base
    )


def test_a_pack_made_by_hand_is_taken_in(places: Places, pristine: Git):  # noqa: F811
    """The control: what follows is refused for what is in it."""
    base = base_of(places)
    tip = take_in(pristine, bundle_of(places, (FILE, b"a", b"a")), base, MIB)
    assert git(places.pristine_repo, "show", "--format=", "--name-only", tip) != ""


BAD_TREES = {
    "dot git": [(FOLDER, b".git", b"")],
    "DOT GIT": [(FOLDER, b".GIT", b"")],
    "its short name": [(FOLDER, b"git~1", b"")],
    "its short name in another case": [(FOLDER, b"GIT~1", b"")],
    "dot git for HFS": [(FOLDER, ".g\u200dit".encode(), b"")],
    "dot git for NTFS": [(FOLDER, b".git ", b"")],
    "dot": [(FOLDER, b".", b"")],
    "dot dot": [(FOLDER, b"..", b"")],
    "a path for a name": [(FILE, b"a/../../b", b"x")],
    "no name": [(FILE, b"", b"x")],
    "the same name twice": [(FILE, b"a", b"x"), (FILE, b"a", b"y")],
    "a file and a folder of a name": [(FILE, b"a", b"x"), (FOLDER, b"a", b"")],
    "out of order": [(FILE, b"b", b"x"), (FILE, b"a", b"y")],
    "a link as .gitmodules": [(LINK, b".gitmodules", b"/etc/passwd")],
    "a submodule's url as an option": [
        (FILE, b".gitmodules", b'[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch\n')
    ],
    "a submodule's path as an option": [
        (FILE, b".gitmodules", b'[submodule "x"]\n\tpath = -x\n\turl = https://a.b/c\n')
    ],
    "a submodule's name that climbs": [
        (FILE, b".gitmodules", b'[submodule "../../x"]\n\tpath = x\n\turl = https://a.b/c\n')
    ],
    "a submodule that updates by a command": [
        (
            FILE,
            b".gitmodules",
            b'[submodule "x"]\n\tpath = x\n\turl = https://a.b/c\n\tupdate = !sh\n',
        )
    ],
}


@pytest.mark.parametrize("name", BAD_TREES)
def test_bad_trees_are_refused(places: Places, pristine: Git, name: str):  # noqa: F811
    with pytest.raises(BundleUnusable, match="git refuses the pack"):
        take_in(pristine, bundle_of(places, *BAD_TREES[name]), base_of(places), MIB)


def test_a_delta_that_unpacks_to_gigabytes_is_refused(places: Places, pristine: Git):  # noqa: F811
    """16 MiB of one byte, copied 250 times: 4 GB from a pack of a few kilobytes."""
    pack, base, whole = Pack(), base_of(places), 0xFFFFFF
    pack.add(BLOB, b"0" * whole)
    copy = bytes([0x80 | 0x70, 0xFF, 0xFF, 0xFF])
    pack.add_delta(pack.position, number(whole) + number(250 * whole) + copy * 250)
    tip = pack.add(COMMIT, commit(pack.add(TREE, tree()), base))
    path = delivered(places, pack, tip, base)
    assert path.stat().st_size < 100_000
    with pytest.raises(BundleUnusable, match="git refuses the pack"):
        take_in(pristine, path, base, MIB)


def test_a_long_chain_of_deltas_ends(places: Places, pristine: Git):  # noqa: F811
    """Each adds a byte to the one before: git must not need a stack frame for each."""
    pack, base = Pack(), base_of(places)
    at, first = 0, pack.add(BLOB, b"x" * 100)
    for length in range(100, 5100):
        here = pack.position
        delta = number(length) + number(length + 1)
        delta += bytes([0x80 | 0x30, length & 0xFF, length >> 8]) + b"\x01y"
        pack.add_delta(here - at, delta)
        at = here
    tip = pack.add(COMMIT, commit(pack.add(TREE, tree((FILE, b"a", first))), base))
    assert take_in(pristine, delivered(places, pack, tip, base), base, MIB) == tip


def test_more_commits_than_anybody_reviews_are_refused(places: Places, pristine: Git):  # noqa: F811
    pack, base = Pack(), base_of(places)
    root, tip = pack.add(TREE, tree((FILE, b"a", pack.add(BLOB, b"a")))), base
    for _ in range(1001):
        tip = pack.add(COMMIT, commit(root, tip))
    with pytest.raises(BundleRefused, match="1001 commits"):
        take_in(pristine, delivered(places, pack, tip, base), base, MIB)
