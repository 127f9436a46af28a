"""Find out what `decision.decide` asks for, one step after the other.

Every effect of judging is here or in the module it calls: each turns what it found
into one more fact. git runs in a thread, so the door keeps answering.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from agenttask_api.clonefacts import CloneFacts
from agenttask_api.door import MAX_BUNDLE_BYTES
from agenttask_api.reasons import Reason
from agenttask_api.spec import OutputMode
from agenttask_api.taskdocument import TaskDocument
from agenttask_api.verification import Verification
from agenttask_courier import changes, intake, policy, push, rebase, salvage, submodules, verify
from agenttask_courier.begun import Begun
from agenttask_courier.changes import Changes
from agenttask_courier.checks import Bench
from agenttask_courier.comparison import Checked, comparable
from agenttask_courier.credentials import GitAccess, git_access, known_secrets, masked
from agenttask_courier.decision import (
    Checks,
    Ending,
    Facts,
    Fault,
    Intake,
    Moved,
    Outcome,
    Step,
    Wanted,
    decide,
    push_interrupted,
)
from agenttask_courier.fullness import VolumeFull
from agenttask_courier.git import Git, GitFailed
from agenttask_courier.inbox import Inbox
from agenttask_courier.journal import clean, log
from agenttask_courier.places import Places

MAX_SAID_CHARACTERS = 1000
PATCH_NAME = "change.patch"


@dataclass
class Evidence:
    """What judging has brought to light, for the result."""

    changes: Changes | None = None
    verification: Verification | None = None
    patch: Path | None = None
    pushed: bool = False
    kept: str = ""
    """The branch that holds the work because the wanted one had moved."""


@dataclass
class Judge:
    """Judges one run."""

    places: Places
    document: TaskDocument
    clone: CloneFacts
    inbox: Inbox
    on_step: Callable[[Step], None] = lambda _: None
    access: GitAccess | None = None
    arrived: Callable[[Git, str, str], bool | None] = push.arrived
    push: Callable[..., str] = push.push
    on_push: Callable[[Begun | None], None] = lambda _: None
    """Called before each push, and with None once it is known what became of it."""
    own_secrets: tuple[str, ...] = ()
    """Secrets that lie in no mounted folder."""
    evidence: Evidence = field(default_factory=Evidence)
    facts: Facts = field(init=False)
    begun: Begun | None = None
    """The push under way; still there after one that was cut off."""

    def __post_init__(self) -> None:
        access = self.access or git_access(self.places, self.document)
        self._git = Git(
            self.places.pristine_repo, self.places.tmp, access.environment, access.config
        )
        self._secrets = known_secrets(self.places, self.document) + self.own_secrets
        self._expected = self.clone.output_ref_commit
        self._judged: Changes | None = None
        self._checked: Checked | None = None
        self._bench = Bench(self._git, self.places, self.document, self.clone.submodules)

    async def judge(self, ending: Ending, seconds_left: Callable[[], float]) -> Outcome:
        """Return the outcome; `seconds_left` is the run's own clock, for the checks."""
        self.inbox.closed = True
        self.facts = first_facts(self.document, self.inbox, ending)
        steps: dict[Step, Callable[[], Awaitable[Facts]]] = {
            Step.INTAKE: self._take_in,
            Step.SALVAGE: self._salvage,
            Step.POLICY: self._examine,
            Step.VERIFY: lambda: self._verify(seconds_left()),
            Step.COMPARE: lambda: self._compare(seconds_left()),
            Step.PUSH: self._push,
            Step.REBASE: self._rebase,
            Step.KEEP: self._keep,
        }
        while isinstance(step := decide(self.facts), Step):
            self.on_step(step)
            self.facts = await self._found(step, steps[step])
        return replace(step, message=clean(step.message))  # Of names and words of an attacker.

    async def cut_off(self) -> Outcome | None:
        """Return the outcome of a run that ended in mid-push; None when no push was under way."""
        begun = self.begun
        if begun is None:
            return None
        arrived = await self.has_arrived(begun)
        if arrived:
            self._tell_push(None)
            self.facts = self._brought(begun.branch)
        outcome = decide(self.facts) if arrived else push_interrupted(begun, arrived)
        assert isinstance(outcome, Outcome), "a push that has arrived is the last step"
        return replace(outcome, message=clean(outcome.message))

    async def has_arrived(self, begun: Begun) -> bool | None:
        """Look once whether a push has arrived; None when the server does not say."""
        return await asyncio.to_thread(self.arrived, self._git, begun.commit, begun.branch)

    def _brought(self, branch: str) -> Facts:
        """Return the facts once a branch has what was pushed to it."""
        if branch == self.document.branch():
            self.evidence.pushed = True
            return replace(self.facts, push_refused="")
        return self._kept(branch)

    async def _found(self, step: Step, effect: Callable[[], Awaitable[Facts]]) -> Facts:
        """Return the facts after one step; a failure of ours becomes a fact, too."""
        try:
            return await effect()
        except TimeoutError:
            message = f"the run's time was over during {step}"
            return replace(self.facts, fault=Fault(Reason.DEADLINE_EXCEEDED, message))
        except VolumeFull as error:
            message = f"the checks filled the checkout's volume: {error}"
            return replace(self.facts, fault=Fault(Reason.WORKSPACE_FULL, message))
        except (GitFailed, OSError, verify.VerifierGone, changes.TooManyChanges) as error:
            log("judge.fault", step=step, error=masked(str(error), self._secrets))
            return replace(self.facts, fault=_fault(step, error))

    async def _take_in(self) -> Facts:
        return replace(self.facts, intake=await asyncio.to_thread(self._take_in_bundle))

    def _take_in_bundle(self) -> Intake:
        assert self.inbox.bundle is not None
        base = self.clone.base_commit
        try:
            tip = intake.take_in(self._git, self.inbox.bundle, base, MAX_BUNDLE_BYTES)
            found = changes.list_changes(self._git, base, tip)
        except intake.BundleUnusable as error:
            return Intake(unusable=clean(str(error)))
        except (intake.BundleRefused, changes.TooManyChanges) as error:
            return Intake(refused=clean(str(error)))
        self.evidence.changes = found if found.entries else None
        self._write_patch(base, tip)
        return Intake(changed=bool(found.entries))

    async def _salvage(self) -> Facts:
        return replace(self.facts, salvaged=await asyncio.to_thread(self._salvage_workspace))

    def _salvage_workspace(self) -> bool:
        """Try to rescue; a failure is logged and takes nothing from the outcome."""
        base = self.clone.base_commit
        try:
            tree = salvage.salvage_tree(self._git, self.places.repo, base, self.places.tmp)
            self._write_patch(base, tree)
        except (GitFailed, OSError, salvage.SalvageLimit) as error:
            log("salvage.failed", error=str(error))
            return False
        return self.evidence.patch is not None

    async def _examine(self) -> Facts:
        assert self.evidence.changes is not None
        denied = await asyncio.to_thread(
            policy.examine,
            self._git,
            self.document,
            self.evidence.changes,
            self._secrets,
            self.places.incoming,
        )
        return replace(self.facts, denied=denied)

    async def _verify(self, seconds: float) -> Facts:
        assert self.evidence.changes is not None
        self._checked = await self._bench.check(self.evidence.changes, seconds)
        self.evidence.verification = self._checked.verification
        return replace(self.facts, checks=self._checks(comparable(self._checked)))

    async def _compare(self, seconds: float) -> Facts:
        assert self.evidence.changes is not None
        assert self._checked is not None
        verification = await self._bench.compare(self.evidence.changes, self._checked, seconds)
        self.evidence.verification = verification
        return replace(self.facts, checks=self._checks(comparable=False))

    def _checks(self, comparable: bool) -> Checks:
        assert self._checked is not None
        assert self.evidence.verification is not None
        found = self.evidence.verification
        failed_setup = self._checked.failed_setup
        return Checks(found.passed, found.message, failed_setup, comparable and not found.passed)

    async def _push(self) -> Facts:
        assert self.evidence.changes is not None
        branch = self.document.branch()
        try:
            refused = await self._push_to(branch, self.evidence.changes.commit, self._expected)
        except push.BranchMoved as error:
            tried = False if self.facts.moved else None
            return replace(self.facts, moved=Moved(str(error), rebased=tried))
        self.evidence.pushed = not refused
        return replace(self.facts, push_refused=refused)

    async def _push_to(self, branch: str, commit: str, expected: str) -> str:
        self._tell_push(Begun(branch, commit))
        url = self.document.repo.url
        try:
            refused = await asyncio.to_thread(
                self.push, self._git, url, commit, branch, expected, self._secrets
            )
        except push.BranchMoved:
            self._tell_push(None)
            raise
        self._tell_push(None)
        return refused

    def _tell_push(self, begun: Begun | None) -> None:
        self.begun = begun
        self.on_push(begun)

    async def _rebase(self) -> Facts:
        """Put the change on top of what the branch now is, to be judged anew."""
        assert self.evidence.changes is not None
        assert self.facts.moved is not None
        moved, self._judged = self.facts.moved, self.evidence.changes
        try:
            found = await asyncio.to_thread(self._rebased, self._judged)
        except (rebase.NotClean, GitFailed) as error:
            said = str(error) if isinstance(error, rebase.NotClean) else "it could not be fetched"
            return replace(
                self.facts, moved=Moved(f"{moved.message}, and {clean(said)}", rebased=False)
            )
        self.evidence.changes, self._expected = found, found.base
        again = replace(moved, rebased=True)
        return replace(self.facts, moved=again, denied=None, checks=None)

    def _rebased(self, judged: Changes) -> Changes:
        author = (self.document.git.author_name, self.document.git.author_email)
        branch = self.document.branch()
        found = rebase.rebase(self._git, branch, judged, self._expected, author)
        if self.clone.submodules and not submodules.same(self._git, judged.base, found.base):
            raise rebase.NotClean("a submodule has moved, too")
        self._write_patch(found.base, found.commit)
        return found

    async def _keep(self) -> Facts:
        """Push the commit that was judged good to a branch of the run's own."""
        assert self._judged is not None
        identity, self.evidence.changes = self.document.identity, self._judged
        branch = f"agenttask/{identity.name}-{identity.run_key}"
        try:
            refused = await self._push_to(branch, self._judged.commit, "")
        except push.BranchMoved as error:
            refused = str(error)
        if refused:
            log("keep.refused", branch=branch, message=refused)
        return self._kept("" if refused else branch)

    def _kept(self, branch: str) -> Facts:
        assert self.facts.moved is not None
        self.evidence.kept = branch
        return replace(self.facts, moved=replace(self.facts.moved, rebased=False, kept=branch))

    def _write_patch(self, base: str, tip: str) -> None:
        """Keep the difference as a patch, unless it is empty or beyond the task's cap."""
        path = self.inbox.new_file()
        changes.write_patch(self._git, base, tip, path)
        size = path.stat().st_size
        if 0 < size <= self.document.artifacts.max_bytes:
            self.evidence.patch = path
        elif size:
            log("patch.too_large", size=size)


def first_facts(document: TaskDocument, inbox: Inbox, ending: Ending) -> Facts:
    """Return what is known before anything was looked at."""
    report = inbox.report if ending is Ending.DELIVERED else None
    mode = document.output.mode
    return Facts(
        wanted=Wanted(
            change=document.change_wanted(),
            push=mode == OutputMode.BRANCH,
            push_on_failure=document.output.push_on_failure,
            verify=bool(document.verify),
            read_only=document.constraints.read_only,
        ),
        ending=ending,
        stop_reason=report.stop_reason if report else "",
        said=clean(report.message)[:MAX_SAID_CHARACTERS] if report else "",
        has_bundle=inbox.bundle is not None,
    )


def _fault(step: Step, error: Exception) -> Fault:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "No space left on device" in str(error):
        return Fault(Reason.WORKSPACE_FULL, f"no space left on a volume during {step}")
    return Fault(Reason.INTERNAL_ERROR, f"{step} failed: {type(error).__name__}")
