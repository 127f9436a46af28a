"""Submodules: fetched once by `clone`, shown as plain folders, kept as links in the commit.

`.gitmodules` is text of an attacker. Only https and ssh are spoken; the credentials go to
the repository's own host and nowhere else; numbers and depth are capped. No git runs in a
submodule's folder: its files are written from the object database, as everything is.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from agenttask_api.clonefacts import Submodule
from agenttask_courier.changes import GITLINK
from agenttask_courier.credentials import GitAccess
from agenttask_courier.git import Git, GitFailed

MAX_SUBMODULES = 50
MAX_DEPTH = 5
"""Submodules of submodules."""
MAX_GITMODULES_BYTES = 256 * 1024
CHECKOUT_TIMEOUT_SECONDS = 300.0
_KEY = re.compile(r"submodule\.(.*)\.(path|url)")
_SCP = re.compile(r"([\w.-]+@[\w.-]+):(?!//)(.+)")


class BadSubmodule(Exception):
    """A submodule that is not fetched; the message names it and says why."""


@dataclass(frozen=True)
class Wanted:
    """One submodule to fetch."""

    path: str
    """From the root of the outermost repository."""
    url: str
    commit: str


def wanted_of(git: Git, commit: str, url: str, prefix: str = "") -> list[Wanted]:
    """Return the submodules of one commit; raises BadSubmodule."""
    linked_at = dict(links(git, commit))
    if not linked_at:
        return []
    urls = _urls(git, commit)
    found = []
    for path, linked in linked_at.items():
        shown = posixpath.join(prefix, path)
        if path not in urls:
            raise BadSubmodule(f"submodule {shown}: .gitmodules has no url for it")
        found.append(Wanted(shown, resolve(urls[path], url, shown), linked))
    return found


def resolve(said: str, parent: str, path: str) -> str:
    """Return the address that `.gitmodules` means, as git resolves it; raises BadSubmodule."""
    if said.startswith(("./", "../")):
        said = _relative(said, parent, path)
    elif scp := _SCP.fullmatch(said):
        said = f"ssh://{scp[1]}/{scp[2]}"
    parts = urlsplit(said)
    if parts.scheme not in ("https", "ssh") or not parts.hostname or re.search(r"\s", said):
        raise BadSubmodule(f"submodule {path}: only https:// and ssh:// are fetched, not {said!r}")
    if parts.password is not None:
        raise BadSubmodule(f"submodule {path}: its url holds a password")
    return said


def access_to(url: str, path: str, repository: str, access: GitAccess) -> GitAccess:
    """Return the access for a submodule; on another host nothing is known to be trusted with it."""
    if place_of(url) == place_of(repository):
        return access
    if urlsplit(url).scheme == "ssh":
        host = urlsplit(url).hostname
        raise BadSubmodule(
            f"submodule {path}: ssh to {host} needs a key, and the Secret is the repository's own"
        )
    return replace(access, environment=without_credentials(access.environment))


def place_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return git's environment without the ways to the Secret."""
    ways = ("GIT_ASKPASS", "GIT_SSH_COMMAND")
    return {k: v for k, v in environment.items() if k not in ways and "SECRET" not in k}


def same(git: Git, before: str, after: str) -> bool:
    """Say whether two commits link to the same submodules."""
    return dict(links(git, before)) == dict(links(git, after))


def write_files(modules: Path, tmp: Path, found: Submodule, folder: Path) -> None:
    """Write a submodule's files to its folder below a checkout."""
    git = Git(modules / found.repository, tmp)
    index, target = tmp / "submodule.index", folder / found.path
    index.unlink(missing_ok=True)
    extra = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(target)}
    target.mkdir(parents=True, exist_ok=True)
    git.run("read-tree", found.commit, extra=extra)
    options = ("--all", "--force", f"--prefix={target}/")
    git.run("checkout-index", *options, extra=extra, timeout=CHECKOUT_TIMEOUT_SECONDS)
    index.unlink(missing_ok=True)


def links(git: Git, commit: str) -> Iterator[tuple[str, str]]:
    """Yield path and commit of every link in a commit's tree."""
    for record in git.run("ls-tree", "-r", "-z", commit).split(b"\0")[:-1]:
        facts, path = record.split(b"\t", 1)
        mode, _, linked = facts.decode().split(" ")
        if mode == GITLINK:
            yield path.decode("utf-8", "surrogateescape"), linked


def _urls(git: Git, commit: str) -> dict[str, str]:
    """Return url by path, of `.gitmodules`; an include in it is not followed."""
    blob = f"{commit}:.gitmodules"
    try:
        listed = git.run("config", "--blob", blob, "-z", "--list", max_output=MAX_GITMODULES_BYTES)
    except GitFailed:
        return {}
    said: dict[str, dict[str, str]] = {}
    for record in listed.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        key, _, value = record.partition("\n")
        if match := _KEY.fullmatch(key):
            said.setdefault(match[1], {})[match[2]] = value
    return {s["path"]: s["url"] for s in said.values() if "path" in s and "url" in s}


def _relative(said: str, parent: str, path: str) -> str:
    """Resolve as git does: each `../` takes one part of the parent's address."""
    parts = urlsplit(parent)
    folder = parts.path.rstrip("/")
    while said.startswith(("./", "../")):
        step, _, said = said.partition("/")
        if step == ".." and not folder:
            raise BadSubmodule(f"submodule {path}: its url leads out of {parts.hostname}")
        folder = posixpath.dirname(folder).rstrip("/") if step == ".." else folder
    return parts._replace(path=f"{folder}/{said}").geturl()
