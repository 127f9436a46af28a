"""What a run leaves behind for its user: the result, its files, and the change."""

import itertools
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agenttask_api.result import AgentResult
from agenttask_api.status import ArtifactRef
from agenttask_cli.checkout import Checkout, bring_back
from agenttask_cli.errors import BadInput
from agenttask_cli.localpod import LocalPod
from agenttask_cli.source import clone_out
from agenttask_courier.result import Account, build_result, result_payload

OUTPUTS = "agenttask-out"
"""Where runs leave their files unless told otherwise; git does not see the folder."""
RESULT_NAME = "result.json"
LOGS = "logs"


@dataclass(frozen=True)
class Left:
    """What was left, and where."""

    folder: Path
    payload: bytes
    """The result document, as it would go to NATS."""
    branch: str = ""
    """The branch in the user's checkout, or in `folder`/repo."""


def output_folder(asked: Path | None, name: str, here: Path) -> Path:
    """Make and return the folder for a run's files; raises BadInput."""
    try:
        return _asked_folder(asked) if asked else _numbered_folder(here / OUTPUTS, name)
    except OSError as error:
        where = asked or here / OUTPUTS
        raise BadInput(f"--output {where}: cannot be made: {error.strerror}") from error


def _asked_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BadInput(f"--output {folder}: is not empty; name a new folder")
    return folder.resolve()


def _numbered_folder(parent: Path, name: str) -> Path:
    parent.mkdir(exist_ok=True)
    ignore = parent / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder.resolve()
    raise AssertionError("unreachable: the count has no end")


def leave(
    account: Account,
    pod: LocalPod,
    folder: Path,
    checkout: Checkout | None,
    environ: Mapping[str, str],
    at_remote: bool,
) -> Left:
    """Write everything; `at_remote`: the branch was pushed to the real one, too.

    Raises OSError or CheckoutError when something cannot be left.
    """
    for file in account.files:
        shutil.copyfile(file.path, folder / file.name)
    _copy_logs(pod, folder)
    branch = ""
    if account.evidence.pushed:
        branch = _leave_change(account, pod, folder, checkout, environ)
    result = localised(build_result(account), folder, branch, at_remote)
    payload = result_payload(result)
    (folder / RESULT_NAME).write_bytes(payload + b"\n")
    return Left(folder, payload, branch)


def localised(result: AgentResult, folder: Path, branch: str, at_remote: bool) -> AgentResult:
    """Return the result as it is true here: where files and branch are, and what was pushed."""
    refs = tuple(_local(ref, folder) for ref in result.artifacts.refs)
    pushed = result.artifacts.change.pushed and at_remote
    change = result.artifacts.change.model_copy(update={"branch": branch, "pushed": pushed})
    artifacts = result.artifacts.model_copy(update={"refs": refs, "change": change})
    return result.model_copy(update={"artifacts": artifacts})


def _local(ref: ArtifactRef, folder: Path) -> ArtifactRef:
    return ref.model_copy(update={"ref": (folder / ref.name).as_uri()})


def _copy_logs(pod: LocalPod, folder: Path) -> None:
    logs = folder / LOGS
    logs.mkdir(exist_ok=True)
    for log in (pod.agent_log, pod.courier_log):
        if log.exists():
            shutil.copyfile(log, logs / log.name)


def _leave_change(
    account: Account,
    pod: LocalPod,
    folder: Path,
    checkout: Checkout | None,
    environ: Mapping[str, str],
) -> str:
    branch = account.document.branch()
    if checkout:
        return bring_back(pod.source, checkout, branch, environ)
    clone_out(pod.source, account.document.repo.url, branch, folder / "repo", pod.own)
    return branch
