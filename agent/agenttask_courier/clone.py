"""`agenttask-courier clone`: fetch once, with credentials, before anything untrusted runs.

Leaves the pristine repository, its facts, and a workspace that shares nothing with
it. A failure ends in the termination message, with its reason and without a secret.
"""

import errno
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agenttask_api import names
from agenttask_api.clonefacts import CloneFacts, CloneFailure, Submodule
from agenttask_api.reasons import Reason
from agenttask_api.spec import OutputMode
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier import remote, ssh, submodules, workspace
from agenttask_courier.credentials import GitAccess, git_access, masked, secret_values
from agenttask_courier.git import Git, GitFailed
from agenttask_courier.journal import clean, log
from agenttask_courier.places import Places
from agenttask_courier.remote import Trouble
from agenttask_courier.settings import BadSettings, read_document

TRIES = 3
PAUSES_SECONDS = (1.0, 3.0)
LIST_TIMEOUT_SECONDS = 60.0
FETCH_TIMEOUT_SECONDS = 900.0
MAX_MESSAGE_BYTES = 1024
BASE_REF = "refs/agenttask/base"
_COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REASONS = {
    Trouble.AUTH: Reason.CLONE_AUTH_FAILED,
    Trouble.HOST_KEY: Reason.CLONE_AUTH_FAILED,
    Trouble.NO_SUCH_REF: Reason.CLONE_REVISION_NOT_FOUND,
    Trouble.DISK_FULL: Reason.WORKSPACE_FULL,
}


class CloneError(Exception):
    """The clone failed, for a reason worth telling."""

    def __init__(self, reason: Reason, message: str, transient: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.transient = transient


@dataclass(frozen=True)
class Target:
    """What the remote has of what we want."""

    ref: str
    """Full ref name; empty when a commit id was asked for."""
    wanted: str
    """What to fetch: the ref or the commit id."""
    output_commit: str


def run_clone(places: Places) -> int:
    """Clone as the task document says and return the exit code of docs/contract.md."""
    try:
        return clone(places, read_document(places.task_file))
    except BadSettings as error:
        _report(places, CloneError(Reason.INTERNAL_ERROR, str(error)), ())
        return names.EX_FAILED


def clone(
    places: Places,
    document: TaskDocument,
    sleep: Callable[[float], None] = time.sleep,
    access: GitAccess | None = None,
) -> int:
    """Clone and return the exit code of docs/contract.md.

    `access` is how git reaches the repository; None = by the mounted Secret.
    """
    secrets = secret_values(places)
    try:
        facts = _with_retries(places, document, secrets, sleep, access)
    except CloneError as error:
        _report(places, error, secrets)
        return names.EX_TEMPFAIL if error.transient else names.EX_FAILED
    log("cloned", base=facts.base_commit, ref=facts.revision_ref)
    return names.EX_OK


def _with_retries(
    places: Places,
    document: TaskDocument,
    secrets: tuple[str, ...],
    sleep: Callable[[float], None],
    access: GitAccess | None,
) -> CloneFacts:
    """Try at most TRIES times while the failure is one that passes."""
    for attempt in range(TRIES):
        try:
            return _clone_once(places, document, secrets, access)
        except CloneError as error:
            if not error.transient or attempt == TRIES - 1:
                raise
            log("clone.retry", attempt=attempt + 1, message=masked(str(error), secrets))
            sleep(PAUSES_SECONDS[attempt])
    raise AssertionError("unreachable: the last try returns or raises")


def _clone_once(
    places: Places, document: TaskDocument, secrets: tuple[str, ...], access: GitAccess | None
) -> CloneFacts:
    url = document.repo.url
    try:
        _forbid_password(url)
        if access is None:
            _check_ssh(places, url)
        _wipe(places)
        return _fetch_and_lay_out(places, document, access or git_access(places, document))
    except GitFailed as error:
        raise explain(error, url, secrets) from error
    except submodules.BadSubmodule as error:
        raise CloneError(Reason.CLONE_FAILED, str(error)) from error
    except OSError as error:
        raise _disk_error(error) from error


def _fetch_and_lay_out(places: Places, document: TaskDocument, access: GitAccess) -> CloneFacts:
    git = Git(places.pristine_repo, places.tmp, access.environment, access.config)
    git.run("init", "--quiet", "--bare", "--template=")
    git.run("config", "remote.origin.url", document.repo.url)
    target = find_target(git, document)
    fetch(git, target, document.repo.depth)
    base = _commit(git, target, document.repo.revision)
    facts = CloneFacts(
        base_commit=base,
        revision_ref=target.ref,
        output_ref_commit=target.output_commit,
        submodules=tuple(_fetch_submodules(places, document, access, git, base)),
    )
    git.run("update-ref", BASE_REF, facts.base_commit)
    workspace.lay_out(places, document, facts)
    _write_facts(places.clone_facts, facts)
    return facts


def _fetch_submodules(
    places: Places, document: TaskDocument, access: GitAccess, git: Git, base: str
) -> Iterator[Submodule]:
    """Fetch what the base links to, and what that links to; raises CloneError."""
    if not document.repo.submodules:
        return
    url = document.repo.url
    waiting = [(1, wanted) for wanted in submodules.wanted_of(git, base, url)]
    for number in range(1, submodules.MAX_SUBMODULES + 1):
        if not waiting:
            return
        depth, wanted = waiting.pop(0)
        name = f"{number}.git"
        own = submodules.access_to(wanted.url, wanted.path, url, access)
        module = Git(places.modules / name, places.tmp, own.environment, own.config)
        _fetch_submodule(module, wanted, document.repo.depth)
        yield Submodule(path=wanted.path, commit=wanted.commit, repository=name)
        inner = submodules.wanted_of(module, wanted.commit, wanted.url, wanted.path)
        if inner and depth == submodules.MAX_DEPTH:
            raise submodules.BadSubmodule(f"submodule {wanted.path}: nested too deeply")
        waiting += [(depth + 1, i) for i in inner]
    if waiting:
        raise submodules.BadSubmodule(f"more than {submodules.MAX_SUBMODULES} submodules")


def _fetch_submodule(git: Git, wanted: submodules.Wanted, depth: int) -> None:
    git.git_dir.parent.mkdir(exist_ok=True)
    git.run("init", "--quiet", "--bare", "--template=")
    git.run("config", "remote.origin.url", wanted.url)
    try:
        fetch(git, Target("", wanted.commit, ""), depth)
        git.text("rev-parse", "--verify", "--end-of-options", f"{wanted.commit}^{{commit}}")
    except GitFailed as error:
        failure = explain(error, wanted.url, ())
        words = f"submodule {wanted.path}: {failure}"
        raise CloneError(failure.reason, words, failure.transient) from error


def find_target(git: Git, document: TaskDocument) -> Target:
    """Ask the remote what the revision and the output branch are now."""
    revision = document.repo.revision
    output_ref = f"refs/heads/{document.branch()}"
    candidates = (f"refs/heads/{revision}", f"refs/tags/{revision}", revision)
    listed = list_refs(git, *candidates, output_ref)
    wants_branch = document.output.mode == OutputMode.BRANCH
    output = listed.get(output_ref, "") if wants_branch else ""
    ref = next((c for c in candidates if c.startswith("refs/") and c in listed), "")
    if ref:
        return Target(ref, ref, output)
    if _COMMIT_ID.fullmatch(revision):
        return Target("", revision, output)
    raise _not_found(revision)


def list_refs(git: Git, *refs: str, seconds: float = LIST_TIMEOUT_SECONDS) -> dict[str, str]:
    """Return commit by full ref name, of the refs that the remote has; raises GitFailed."""
    output = git.run("ls-remote", "--quiet", "--refs", "--", "origin", *refs, timeout=seconds)
    pairs = (line.split("\t") for line in output.decode("utf-8", "replace").splitlines())
    return {name: commit for commit, name in pairs if name in refs}


def fetch(git: Git, target: Target, depth: int) -> None:
    """Fetch the one wanted thing; a server that gives no single commits gives all refs."""
    try:
        _fetch_refs(git, depth, f"+{target.wanted}:{BASE_REF}")
    except GitFailed as error:
        if target.ref or "unadvertised" not in error.stderr:
            raise
        _fetch_refs(git, 0, "+refs/heads/*:refs/agenttask/heads/*", "+refs/tags/*:refs/tags/*")


def _fetch_refs(git: Git, depth: int, *refspecs: str) -> None:
    depth_option = [f"--depth={depth}"] if depth else []
    options = ["--quiet", "--no-tags", "--no-write-fetch-head", *depth_option]
    git.run(
        "fetch", *options, "--end-of-options", "origin", *refspecs, timeout=FETCH_TIMEOUT_SECONDS
    )


def _commit(git: Git, target: Target, revision: str) -> str:
    wanted = BASE_REF if target.ref else target.wanted
    try:
        return git.text("rev-parse", "--verify", "--end-of-options", f"{wanted}^{{commit}}")
    except GitFailed as error:
        raise _not_found(revision) from error


def _not_found(revision: str) -> CloneError:
    message = f"the repository has no branch, tag or commit {revision!r}"
    return CloneError(Reason.CLONE_REVISION_NOT_FOUND, message)


def _forbid_password(url: str) -> None:
    if urlsplit(url).password is not None:
        raise CloneError(
            Reason.CLONE_FAILED, "repo.url holds a password; put it in repo.credentialsRef instead"
        )


def _check_ssh(places: Places, url: str) -> None:
    if said := ssh.complaint(places, url):
        raise CloneError(Reason.CLONE_AUTH_FAILED, said)


def _wipe(places: Places) -> None:
    """Remove what an interrupted clone left, so that a restart begins afresh."""
    places.clone_facts.unlink(missing_ok=True)
    places.attached_mark.unlink(missing_ok=True)
    places.push_mark.unlink(missing_ok=True)
    made = (places.pristine_repo, places.modules, places.repo, places.agent_remote)
    for folder in (*made, places.incoming):
        if folder.exists():
            shutil.rmtree(folder)


def explain(error: GitFailed, url: str, secrets: tuple[str, ...]) -> CloneError:
    """Return what a failed fetch means: its reason, a sentence, and whether it may pass."""
    failure = remote.explain(error, url, secrets)
    transient = failure.transient
    if failure.trouble is Trouble.DNS:
        transient = remote.name_exists(url)
    return CloneError(
        _REASONS.get(failure.trouble, Reason.CLONE_FAILED), failure.message, transient
    )


def _disk_error(error: OSError) -> CloneError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CloneError(Reason.WORKSPACE_FULL, "no space left on the volume")
    return CloneError(Reason.CLONE_FAILED, f"{error.strerror}: {error.filename}")


def _write_facts(path: Path, facts: CloneFacts) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(facts.model_dump_json(by_alias=True), encoding="utf-8")
    draft.replace(path)


def _report(places: Places, error: CloneError, secrets: tuple[str, ...]) -> None:
    message = clean(remote.without_userinfo(masked(str(error), secrets)))
    log("clone.failed", reason=error.reason, message=message, transient=error.transient)
    places.termination_log.write_text(_failure_text(error.reason, message), encoding="utf-8")


def _failure_text(reason: Reason, message: str) -> str:
    """Return the CloneFailure as JSON of at most 1 KiB, its message cut if it must be."""
    text = CloneFailure(reason=reason, message=message).model_dump_json(by_alias=True)
    surplus = len(text.encode()) - MAX_MESSAGE_BYTES
    if surplus <= 0:
        return text
    return _failure_text(reason, message[: max(0, len(message) - surplus - 3)] + "...")
