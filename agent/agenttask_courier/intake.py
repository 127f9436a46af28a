"""Take the agent's bundle into the pristine repository, believing nothing of it.

The header is parsed here, bounded; the pack goes through `git index-pack --strict`
with caps on bytes, objects, time and memory. The tip must descend from the base.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agenttask_courier.git import Git, GitFailed

MAX_HEADER_BYTES = 64 * 1024
MAX_OBJECTS = 100_000
MAX_UNPACKED_BYTES = 1024 * 1024 * 1024
MAX_COMMITS = 1000
INDEX_TIMEOUT_SECONDS = 300.0
CANDIDATE_REF = "refs/agenttask/candidate"
_SIGNATURES = (b"# v2 git bundle\n", b"# v3 git bundle\n")
_REF = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) ([^\x00-\x20\x7f]{1,255})")
_PREREQUISITE = re.compile(rb"-([0-9a-f]{40}|[0-9a-f]{64})( .*)?")


class BundleUnusable(ValueError):
    """No bundle, or a broken one: there is nothing to judge."""


class BundleRefused(ValueError):
    """A bundle that breaks a rule: too large, or history that does not build on the base."""


@dataclass(frozen=True)
class Header:
    """What a bundle says of itself."""

    tip: str
    pack_offset: int


def take_in(git: Git, bundle: Path, base: str, max_bytes: int) -> str:
    """Return the candidate commit; raises BundleUnusable or BundleRefused."""
    with bundle.open("rb") as source:
        header = parse_header(source)
        _check_pack(source, header.pack_offset)
        os.lseek(source.fileno(), header.pack_offset, os.SEEK_SET)  # Past Python's own buffer.
        _index(git, source, max_bytes)
    _check_descent(git, base, header.tip)
    _check_size(git, base, header.tip)
    git.run("update-ref", CANDIDATE_REF, header.tip)
    return header.tip


def parse_header(source: IO[bytes]) -> Header:
    """Return the tip and where the pack begins; raises BundleUnusable."""
    if source.readline(64) not in _SIGNATURES:
        raise BundleUnusable("not a git bundle")
    refs: dict[bytes, str] = {}
    while (line := source.readline(4096)) not in (b"\n", b""):
        if source.tell() > MAX_HEADER_BYTES:
            raise BundleUnusable("the bundle's header is too long")
        _take_line(line.removesuffix(b"\n"), refs)
    return Header(_tip(refs), source.tell())


def _take_line(line: bytes, refs: dict[bytes, str]) -> None:
    if line.startswith(b"@"):
        if not line.startswith(b"@object-format="):
            raise BundleUnusable("the bundle needs a capability that is not supported")
    elif found := _REF.fullmatch(line):
        refs[found[2]] = found[1].decode()
    elif not _PREREQUISITE.fullmatch(line):
        raise BundleUnusable("the bundle's header is malformed")


def _tip(refs: dict[bytes, str]) -> str:
    commits = {refs[b"HEAD"]} if b"HEAD" in refs else set(refs.values())
    if len(commits) != 1:
        raise BundleUnusable(f"the bundle names {len(commits)} tips; expected HEAD")
    return commits.pop()


def _check_pack(source: IO[bytes], offset: int) -> None:
    source.seek(offset)
    head = source.read(12)
    if len(head) < 12 or head[:4] != b"PACK":
        raise BundleUnusable("the bundle holds no pack")
    if (count := int.from_bytes(head[8:], "big")) > MAX_OBJECTS:
        raise BundleRefused(f"the bundle has {count} objects; at most {MAX_OBJECTS}")


def _index(git: Git, source: IO[bytes], max_bytes: int) -> None:
    options = ("--stdin", "--fix-thin", "--strict", "--threads=1", f"--max-input-size={max_bytes}")
    try:
        git.run("index-pack", *options, stdin=source, timeout=INDEX_TIMEOUT_SECONDS)
    except GitFailed as error:
        if "exceeds maximum allowed size" in error.stderr:
            raise BundleRefused(f"the pack is larger than {max_bytes} bytes") from error
        if "No space left" in error.stderr:
            raise
        raise BundleUnusable(f"git refuses the pack: {_first_words(error)}") from error


def _check_descent(git: Git, base: str, tip: str) -> None:
    try:
        kind = git.text("cat-file", "-t", tip)
        if kind != "commit":
            raise BundleUnusable(f"the bundle's tip is a {kind}, not a commit")
        git.run("merge-base", "--is-ancestor", base, tip)
    except GitFailed as error:
        if error.status == 1 and error.command == "merge-base":
            raise BundleRefused("the commit does not descend from the base commit") from error
        raise BundleUnusable(f"the bundle's history is broken: {_first_words(error)}") from error


def _check_size(git: Git, base: str, tip: str) -> None:
    """Bound what the candidate unpacks to, before anything reads it whole."""
    try:
        commits = int(git.text("rev-list", "--count", tip, f"^{base}"))
        sizes = git.run(
            "cat-file", "--batch-check=%(objectsize)", "--buffer", stdin=new_objects(git, base, tip)
        )
    except GitFailed as error:
        raise BundleUnusable(f"the bundle is incomplete: {_first_words(error)}") from error
    if commits > MAX_COMMITS:
        raise BundleRefused(f"{commits} commits; at most {MAX_COMMITS}")
    if (total := sum(int(size) for size in sizes.split() if size.isdigit())) > MAX_UNPACKED_BYTES:
        raise BundleRefused(f"the change unpacks to {total} bytes; at most {MAX_UNPACKED_BYTES}")


def new_objects(git: Git, base: str, tip: str) -> bytes:
    """Return the ids, one a line, of all objects that a push of the tip would send."""
    return git.run("rev-list", "--objects", "--no-object-names", tip, f"^{base}")


def _first_words(error: GitFailed) -> str:
    lines = error.stderr.strip().splitlines()
    return lines[0][:200] if lines else f"status {error.status}"
