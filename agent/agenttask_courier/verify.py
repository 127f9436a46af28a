"""Check the candidate on a clean checkout, with the base's protected files in place.

The checkout is written from the object database without filters, run by the verifier
in its own container, and removed again. Its reports are hostile text.
"""

import asyncio
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import aiohttp
from pydantic import ValidationError

from agenttask_api.clonefacts import Submodule
from agenttask_api.door import VerifyAnswer, VerifyRequest
from agenttask_api.status import TestCounts
from agenttask_api.taskdocument import TaskDocument
from agenttask_api.verification import StepResult, Verification
from agenttask_courier import coverage, junit
from agenttask_courier.changes import GITLINK, Changes, Entry, printable
from agenttask_courier.comparison import Checked
from agenttask_courier.git import Git
from agenttask_courier.globs import matching
from agenttask_courier.places import Places
from agenttask_courier.submodules import write_files

SOCKET_WAIT_SECONDS = 30.0
CHECKOUT_TIMEOUT_SECONDS = 300.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
_POLL_SECONDS = 0.05
_ABSENT = "000000"


class VerifierGone(Exception):
    """The verifier did not answer: a fault of the pod, not of the change."""


@dataclass(frozen=True)
class Checkout:
    """A clean checkout of the candidate, and where its reports go."""

    directory: Path
    reports: Path
    touched: tuple[str, ...]
    """Protected paths that the candidate changed and that are the base's here."""
    stale_coverage: Mapping[str, int] = field(default_factory=dict)
    """Results of coverage that are part of the commit, and when they were written."""


def make_checkout(
    git: Git,
    places: Places,
    document: TaskDocument,
    changes: Changes,
    submodules: Sequence[Submodule] = (),
    number: int = 1,
) -> Checkout:
    """Write the candidate's tree, protected paths restored, to /checkout/<number>."""
    directory = places.checkout / str(number)
    reports = places.checkout / f"{number}-reports"
    for folder in (directory, reports):
        remove(folder)
        folder.mkdir(mode=0o775)
    protected = set(matching(changes.paths, document.protect))
    restored = [entry for entry in changes.entries if entry.path in protected]
    _write_tree(git, places, changes.commit, restored, directory)
    removed = {entry.path for entry in changes.entries if entry.old_mode == GITLINK}
    for found in submodules:
        if not removed.intersection((found.path, *map(str, PurePosixPath(found.path).parents))):
            write_files(places.modules, places.tmp, found, directory)
    touched = tuple(printable(entry.path) for entry in restored)
    return Checkout(directory, reports, touched, coverage.stamps(directory))


def remove(folder: Path) -> None:
    """Remove a folder that hostile code wrote to, following no link."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


async def ask_verifier(places: Places, document: TaskDocument, checkout: Checkout) -> VerifyAnswer:
    """Return what the verifier found; raises VerifierGone."""
    await _wait_for(places.verifier_socket)
    request = VerifyRequest(
        directory=str(checkout.directory),
        reports=str(checkout.reports),
        env=document.env,
        setup=document.setup,
        verify=document.verify,
    )
    try:
        content = await _post(places.verifier_socket, request)
        return VerifyAnswer.model_validate_json(content)
    except (aiohttp.ClientError, OSError, ValidationError) as error:
        raise VerifierGone(f"the verifier did not answer: {type(error).__name__}") from error


async def _post(socket: Path, request: VerifyRequest) -> bytes:
    limits = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.UnixConnector(path=str(socket))
    async with (
        aiohttp.ClientSession(connector=connector, timeout=limits, raise_for_status=True) as client,
        client.post(
            "http://verifier/verify", json=request.to_api(), allow_redirects=False
        ) as answer,
    ):
        return await _at_most(answer.content, MAX_ANSWER_BYTES)


async def _at_most(content: aiohttp.StreamReader, limit: int) -> bytes:
    """Return the body, cut at the limit: who runs the checks may answer anything."""
    try:
        return await content.readexactly(limit)
    except asyncio.IncompleteReadError as shorter:
        return shorter.partial


def conclude(answer: VerifyAnswer, checkout: Checkout) -> Checked:
    """Return what the steps and their reports mean together."""
    setup_failures = [s.name for s in answer.setup if s.exit_code != 0]
    failures = [s for s in answer.verify if s.exit_code != 0]
    read = ((s.name, junit.read_reports(checkout.reports, s.name)) for s in answer.verify)
    cases = {name: found for name, found in read if found}
    verification = Verification(
        passed=not setup_failures and not failures,
        steps=(*answer.setup, *answer.verify),
        tests=_sum(cases.values()),
        coverage=_coverage(answer, checkout),
        protected_touched=checkout.touched,
        message="; ".join(_said(step) for step in failures),
    )
    return Checked(verification, setup_failures[0] if setup_failures else "", answer.verify, cases)


def _coverage(answer: VerifyAnswer, checkout: Checkout) -> float | None:
    steps = tuple(s.name for s in answer.verify)
    return coverage.measured(checkout.directory, checkout.reports, steps, checkout.stale_coverage)


def _sum(found: Iterable[junit.Cases]) -> TestCounts | None:
    counts = [cases.counts for cases in found]
    if not counts:
        return None
    return TestCounts(
        passed=sum(c.passed for c in counts),
        failed=sum(c.failed for c in counts),
        skipped=sum(c.skipped for c in counts),
    )


def _write_tree(
    git: Git, places: Places, commit: str, restored: list[Entry], directory: Path
) -> None:
    index = places.tmp / "verify.index"
    index.unlink(missing_ok=True)
    extra = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(directory)}
    git.run("read-tree", commit, extra=extra)
    if restored:
        listing = b"".join(_index_line(entry) for entry in restored)
        git.run("update-index", "--replace", "-z", "--index-info", stdin=listing, extra=extra)
    git.run(
        "checkout-index",
        "--all",
        "--force",
        f"--prefix={directory}/",
        extra=extra,
        timeout=CHECKOUT_TIMEOUT_SECONDS,
    )
    index.unlink(missing_ok=True)


def _index_line(entry: Entry) -> bytes:
    """Return the base's entry; mode 0 removes a file that the base does not have."""
    mode = "0" if entry.old_mode == _ABSENT else entry.old_mode
    return f"{mode} {entry.old_id}\t{entry.path}\0".encode("utf-8", "surrogateescape")


async def _wait_for(socket: Path) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SOCKET_WAIT_SECONDS
    while not _is_there(socket):
        if loop.time() > deadline:
            raise VerifierGone(f"the verifier has not come up in {SOCKET_WAIT_SECONDS:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)


def _is_there(socket: Path) -> bool:
    return socket.exists()


def _said(step: StepResult) -> str:
    if step.timed_out:
        return f"verify step {step.name} did not end in time"
    if step.exit_code is None:
        return f"verify step {step.name}: {step.output[:200]}"
    last = step.output.strip().rpartition("\n")[2][:160]
    return f"verify step {step.name} ended with exit code {step.exit_code}: {last}"
