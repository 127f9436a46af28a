"""One run: clone, then courier, verifier and agent side by side, then the account of it.

The courier and the verifier run in this process, the agent in one of its own that is
given nothing but its folders. The first Ctrl-C asks the agent to hand in what it has;
the second ends everything at once.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agenttask_api import names
from agenttask_api.clonefacts import CloneFacts, CloneFailure
from agenttask_api.reasons import Reason
from agenttask_api.status import Phase, Usage
from agenttask_api.taskdocument import TaskDocument
from agenttask_cli.localpod import LocalPod
from agenttask_cli.processes import kill_descendants
from agenttask_cli.source import PushOn
from agenttask_cli.story import Story
from agenttask_courier.credentials import GitAccess
from agenttask_courier.decision import Outcome, failed
from agenttask_courier.embedding import Embedding
from agenttask_courier.judge import Evidence
from agenttask_courier.places import Places
from agenttask_courier.result import Account
from agenttask_courier.serve import Courier
from agenttask_courier.settings import Settings
from agenttask_courier.sockets import listen
from agenttask_courier.verifier import verifier_app

GRACE_SECONDS = 30
"""In place of the pod's: a person waits. The agent takes at most 10 of them."""
MODEL_TRIES = 4
"""Fewer than in a pod, for the same reason."""
MODEL_PAUSE_SECONDS = 0.5
_ROOM_BYTES = 64 * 1024
"""Programs on a full disk fail in their own ways and cannot always write down why."""
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "VIRTUAL_ENV")


@dataclass
class Session:
    """What one run needs to know, and what has become of it."""

    pod: LocalPod
    document: TaskDocument
    settings: Settings
    access: GitAccess
    push: PushOn
    story: Story
    model_key: str = field(default="", repr=False)
    db_secrets: Path | None = None
    probe_cache: Path | None = None
    """What the model server can do, kept from one run to the next."""
    """One folder of keys for each of the task's connections."""
    account: Account | None = None
    """How it ended; None while it has not."""
    cancelled: bool = False
    killed: bool = False

    @property
    def places(self) -> Places:
        """As the courier's container sees the pod, databases' keys included."""
        places = self.pod.courier
        return replace(places, db_secrets=self.db_secrets) if self.db_secrets else places

    def keep(self, account: Account) -> None:
        self.account = account

    def ended(self, outcome: Outcome) -> Outcome:
        """Say Cancelled where the user stopped the run, WorkspaceFull where the disk did."""
        if self.cancelled and outcome.phase is not Phase.SUCCEEDED:
            pushing = outcome.reason is Reason.PUSH_INTERRUPTED
            return cancelled_outcome(outcome.message if pushing else "")
        if outcome.phase is Phase.FAILED and not has_room(self.pod.root):
            return failed(Reason.WORKSPACE_FULL, f"no space left in {self.pod.root.parent}")
        return outcome

    def give_up(self, outcome: Outcome, facts: CloneFacts | None = None) -> None:
        """Account for a run that no courier has seen to its end."""
        self.account = Account(
            self.settings,
            self.document,
            facts.base_commit if facts else "",
            self.ended(outcome),
            Evidence(),
            None,
            Usage(),
        )


def has_room(folder: Path) -> bool:
    """Try whether a little can still be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * _ROOM_BYTES)
            probe.flush()
    except OSError:
        return False
    return True


def cancelled_outcome(said: str = "") -> Outcome:
    """Return the outcome of a run that the user ended, and what else is to be said of it."""
    words = "cancelled by the user" + (f"; {said}" if said else "")
    return Outcome(Phase.CANCELLED, Reason.CANCELLED, message=words)


def clone_failure(text: str) -> Outcome:
    """Return the outcome that the clone's last words tell."""
    try:
        failure = CloneFailure.model_validate_json(text)
    except ValueError:
        return failed(Reason.CLONE_FAILED, "the clone left no word of why it failed")
    return failed(failure.reason, failure.message)


async def work(session: Session, facts: CloneFacts) -> None:
    """Run agent, courier and verifier to the end; `session.account` tells how it went."""
    courier = _courier(session, facts)
    checking = asyncio.create_task(_verifier(session))
    serving = asyncio.create_task(courier.run())
    agent = await _start_agent(session)
    stop = _Stop(session, courier, agent, checking, serving)
    with _signals(stop.ask):
        await _until_over(courier, agent, stop)
    if session.account is None:
        session.give_up(_never_attached(session, agent.returncode), facts)
    elif agent.returncode == names.EX_TEMPFAIL:
        session.account = _without_model(session.account)


def _courier(session: Session, facts: CloneFacts) -> Courier:
    clocks = session.document.clocks.model_copy(update={"grace_seconds": GRACE_SECONDS})
    document = session.document.model_copy(update={"clocks": clocks})
    around = Embedding(
        access=session.access,
        push=session.push,
        arrived=session.push.arrived,
        model_key=session.model_key,
        on_event=session.story.event,
        on_step=session.story.judging,
        on_usage=lambda usage: setattr(session.story, "usage", usage),
        on_ended=session.ended,
        on_account=session.keep,
    )
    return Courier(session.places, session.settings, document, facts, around)


async def _verifier(session: Session) -> None:
    """Answer the courier's request to verify; cancelled, it kills the step under way."""
    places = session.pod.verifier
    async with listen(verifier_app(places), places.verifier_socket):
        await asyncio.Event().wait()


async def _start_agent(session: Session) -> asyncio.subprocess.Process:
    """Start the agent in a session of its own, so that Ctrl-C reaches it only through us."""
    pod, paths = session.pod, session.pod.agent
    with pod.agent_log.open("wb") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            *("-m", "agenttask_agent", "run"),
            *("--task", str(paths.task_file), "--door", str(paths.door_socket)),
            *("--repo", str(paths.repo), "--home", str(paths.home), "--tmp", str(paths.tmp)),
            *(("--probe-cache", str(session.probe_cache)) if session.probe_cache else ()),
            *("--model-tries", str(MODEL_TRIES), "--model-pause", str(MODEL_PAUSE_SECONDS)),
            cwd=paths.tmp,
            env=agent_environment(os.environ, session),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def agent_environment(ours: Mapping[str, str], session: Session) -> dict[str, str]:
    """Return all that the agent's process gets: where programs are, and its own folders."""
    paths = session.pod.agent
    return {
        **{name: ours[name] for name in _INHERITED if ours.get(name)},
        names.ENV_TASK_ID: session.document.identity.task_id,
        "HOME": str(paths.home),
        "TMPDIR": str(paths.tmp),
    }


@dataclass
class _Stop:
    """What Ctrl-C does, the first and the second time."""

    session: Session
    courier: Courier
    agent: asyncio.subprocess.Process
    checking: "asyncio.Task[None]"
    serving: "asyncio.Task[None]"
    at_once: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self) -> None:
        if self.session.cancelled:
            self.session.killed = True
            self.at_once.set()
            kill_descendants()
            return
        self.session.cancelled = True
        self.session.story.enter("Cancelling: what there is will be kept (Ctrl-C again to kill)")
        self.courier.terminate()
        self.checking.cancel()
        with contextlib.suppress(ProcessLookupError):
            self.agent.terminate()


@contextlib.contextmanager
def _signals(on_stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in caught:
        loop.add_signal_handler(number, on_stop)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)


async def _until_over(courier: Courier, agent: asyncio.subprocess.Process, stop: _Stop) -> None:
    """Wait for the agent's end and for the outcome; a kill ends both waits."""
    watching = asyncio.create_task(_agent_then_outcome(courier, agent))
    killed = asyncio.create_task(stop.at_once.wait())
    try:
        over = {watching, killed, stop.serving}
        await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
    finally:
        killed.cancel()
        watching.cancel()
        await _end(courier, agent, stop)


async def _agent_then_outcome(courier: Courier, agent: asyncio.subprocess.Process) -> None:
    await agent.wait()
    if not courier.inbox.attached.is_set():
        courier.terminate()
    await courier.settled.wait()


async def _end(courier: Courier, agent: asyncio.subprocess.Process, stop: _Stop) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(agent.pid, signal.SIGKILL)
    await agent.wait()
    courier.terminate()
    stop.checking.cancel()
    if stop.session.killed:
        stop.serving.cancel()
    for task in (stop.serving, stop.checking):
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _never_attached(session: Session, code: int | None) -> Outcome:
    last = _last_line(session.pod.agent_log)
    words = f"the agent ended with exit code {code} before it began: {last}"
    return failed(Reason.INTERNAL_ERROR, words)


def _without_model(account: Account) -> Account:
    """Tell the agent's exit code 75 as the operator does."""
    if account.outcome.reason is not Reason.NO_RESULT:
        return account
    outcome = failed(Reason.MODEL_ERROR, "the model could not be reached")
    return replace(account, outcome=outcome)


def _last_line(path: Path) -> str:
    lines = path.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1][-500:] if lines else "it said nothing"
