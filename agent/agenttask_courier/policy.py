"""What may not be pushed: denied paths, links out of the repository, too much, secrets.

An answer is a sentence for people; an empty one means that nothing is against it.
"""

import posixpath
from pathlib import Path

from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.changes import GITLINK, SYMLINK, Changes, Entry, printable
from agenttask_courier.git import Git
from agenttask_courier.globs import matching
from agenttask_courier.intake import new_objects
from agenttask_courier.secretscan import leaked

MAX_LINK_BYTES = 4096
MAX_CHANGE_BYTES = 50 * 1024 * 1024
"""As much as a task's artifacts may have by default: a larger patch would not be kept."""
SHOWN_PATHS = 5


def examine(
    git: Git, document: TaskDocument, changes: Changes, secrets: tuple[str, ...], folder: Path
) -> str:
    """Return why the change is refused, or an empty text."""
    return (
        denied_paths(document, changes)
        or _bad_entries(git, changes)
        or _too_large(git, changes)
        or (leaked(git, changes, secrets, folder) if document.git.secret_scan else "")
    )


def denied_paths(document: TaskDocument, changes: Changes) -> str:
    """Return which changed paths the task or its class forbids."""
    denied = matching(changes.paths, (*document.git.deny_paths, *document.output.deny_paths))
    if denied:
        return f"the change touches denied paths: {_listed(denied)}"
    if not document.output.allow_paths:
        return ""
    allowed = set(matching(changes.paths, document.output.allow_paths))
    outside = tuple(path for path in changes.paths if path not in allowed)
    return (
        f"the change touches paths outside output.allowPaths: {_listed(outside)}" if outside else ""
    )


def escapes(path: str, target: str) -> bool:
    """Say whether a link at `path` leads out of the repository or into its `.git`."""
    if target.startswith("/") or "\0" in target:
        return True
    parts = posixpath.normpath(posixpath.join(posixpath.dirname(path), target)).split("/")
    return parts[0] == ".." or ".git" in (part.lower() for part in parts)


def _bad_entries(git: Git, changes: Changes) -> str:
    links = tuple(e.path for e in changes.entries if e.new_mode == GITLINK)
    if links:
        return f"the change adds submodules: {_listed(links)}"
    symlinks = [e for e in changes.entries if e.new_mode == SYMLINK]
    leading_out = tuple(e.path for e in symlinks if escapes(e.path, _target(git, e)))
    return f"links lead out of the repository: {_listed(leading_out)}" if leading_out else ""


def _target(git: Git, entry: Entry) -> str:
    """Return where a link points; one too long to be real counts as leading out."""
    if int(git.text("cat-file", "-s", entry.new_id)) > MAX_LINK_BYTES:
        return "/"
    return git.run("cat-file", "blob", entry.new_id).decode("utf-8", "surrogateescape")


def _too_large(git: Git, changes: Changes) -> str:
    """Return that the change brings more than anybody reviews, commits in between included."""
    ids = new_objects(git, changes.base, changes.commit)
    sizes = git.run("cat-file", "--batch-check=%(objectsize)", "--buffer", stdin=ids)
    total = sum(int(size) for size in sizes.split())
    if total <= MAX_CHANGE_BYTES:
        return ""
    return f"the change brings {total} bytes; at most {MAX_CHANGE_BYTES} may be pushed"


def _listed(paths: tuple[str, ...]) -> str:
    shown = ", ".join(printable(path) for path in paths[:SHOWN_PATHS])
    more = len(paths) - SHOWN_PATHS
    return f"{shown} and {more} more" if more > 0 else shown
