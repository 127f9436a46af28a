"""`agenttask-courier serve`: one run from the agent's first sign to its receipt.

Wires door, gate, judge and publisher together and says who is waited for, and how
long. What is decided and how it is done lies in the modules it wires.
"""

import asyncio
import hashlib
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agenttask_api.clonefacts import CloneFacts
from agenttask_api.door import Receipt
from agenttask_api.reasons import Reason
from agenttask_api.status import Phase
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.begun import read_mark
from agenttask_courier.clocks import RunClocks, Timeline, first_of
from agenttask_courier.clonespan import open_attempt
from agenttask_courier.control import control
from agenttask_courier.databases import make_handler
from agenttask_courier.decision import (
    WORKSPACE_FULL,
    Ending,
    Outcome,
    failed,
    push_interrupted,
)
from agenttask_courier.door import Door
from agenttask_courier.embedding import Embedding
from agenttask_courier.engine import TIDY_SECONDS, tidy
from agenttask_courier.fullness import until_full
from agenttask_courier.gate import Gate
from agenttask_courier.inbox import Inbox
from agenttask_courier.journal import log
from agenttask_courier.judge import Judge
from agenttask_courier.places import Places
from agenttask_courier.result import Account, build_result, result_payload
from agenttask_courier.settings import Settings, read_document
from agenttask_courier.settlement import final_words, gather_files, make_receipt, with_report
from agenttask_courier.sockets import listen
from agenttask_courier.telling import Telling
from agenttask_courier.tracing import NOWHERE, Spans
from agenttask_courier.upstream import Upstream

DELIVERY_SECONDS = 10.0
"""How long an agent may still deliver after its time is over."""
EVENT_SECONDS = 5.0
"""How long the last events are waited for; the outcome does not hang on them."""


def run_serve(places: Places, environment: Mapping[str, str]) -> int:
    """Serve one run until SIGTERM; returns the exit code, which nobody counts."""
    settings = Settings.parse(environment)
    document = read_document(places.task_file)
    clone = CloneFacts.model_validate_json(places.clone_facts.read_bytes())
    asyncio.run(_until_sigterm(places, settings, document, clone))
    return 0


async def _until_sigterm(
    places: Places, settings: Settings, document: TaskDocument, clone: CloneFacts
) -> None:
    spans = open_attempt(os.environ, places)
    courier = Courier(places, settings, document, clone, spans=spans)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, courier.terminate)
    await courier.run()
    # A git process under way in a thread would hold the interpreter's own exit back.
    sys.stdout.flush()
    os._exit(0)


@dataclass
class Courier:
    """One run."""

    places: Places
    settings: Settings
    document: TaskDocument
    clone: CloneFacts
    around: Embedding = Embedding()
    spans: Spans = NOWHERE
    terminated: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """The last words are written."""

    def __post_init__(self) -> None:
        document, places = self.document, self.places
        self.clocks = RunClocks(document.clocks)
        self.timeline = Timeline()
        self.inbox = Inbox(places.incoming, document.artifacts.max_bytes)
        base = self.clone.base_commit
        self.telling = Telling(places, self.settings, document, base, self.around, self.spans)
        self.gate = Gate(
            document,
            Upstream(self.settings.vllm_url),
            places.model_key,
            self.telling.usage,
            self.spans,
        )
        if self.around.model_key:
            self.gate.client.headers["Authorization"] = f"Bearer {self.around.model_key}"
        self.judge = self._make_judge()

    def terminate(self) -> None:
        """Take SIGTERM: end as soon as the outcome is settled."""
        self.terminated.set()
        self._hurry()

    async def run(self) -> None:
        """Serve until SIGTERM."""
        self.telling.say()
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        connections, keys = self.document.connections, self.places.db_secrets
        databases = make_handler(connections, keys) if connections else None
        door = Door(
            self.gate, self.inbox, self.telling.event, receipt, databases, self.telling.pace
        )
        async with (
            self.telling.published(),
            control(self.places.control_socket, self._hurry, self.settled),
            listen(door.app(), self.places.door_socket),
        ):
            log("serve.ready")
            await self._whole_run(receipt)
            await self.terminated.wait()
        await self.gate.client.aclose()

    async def _whole_run(self, receipt: "asyncio.Future[Receipt]") -> None:
        """See one agent through; without one nothing is judged: pod and Job say why."""
        outcome = await self._outcome()
        if outcome:
            receipt.set_result(await self._settle(outcome))
        self.settled.set()
        await asyncio.to_thread(self.spans.close, _error_of(outcome))

    async def _outcome(self) -> Outcome | None:
        """Return how the run has ended; None where no agent has ever come."""
        if self.places.attached_mark.exists():
            self.telling.publisher.go_on()
            return await self._after_a_crash()
        if not await self._attached():
            return None
        self._begin()
        return await self._judged(await self._agent_ended())

    async def _attached(self) -> bool:
        await first_of(self.inbox.attached.wait(), self.clocks.ending.wait())
        return self.inbox.attached.is_set()

    async def _after_a_crash(self) -> Outcome:
        """End a run whose courier died: its clock and its count of tokens are lost."""
        begun = read_mark(self.places.push_mark)
        outcome = await self._judged(Ending.GONE)
        words = "the courier died during the run and was started again"
        if not begun:
            return replace(outcome, reason=Reason.INTERNAL_ERROR, message=words)
        self.judge.begun = begun
        self.telling.push(begun)
        became = push_interrupted(begun, await self.judge.has_arrived(begun))
        return replace(became, message=f"{words}; {became.message}")

    def _begin(self) -> None:
        self.places.attached_mark.touch()
        self.clocks.start_run()
        self.timeline.begin()
        self.telling.begun()

    async def _agent_ended(self) -> Ending:
        inbox, ending = self.inbox, self.clocks.ending
        filling = until_full(self.places.workspace, self.document.workspace_bytes)
        full = asyncio.create_task(filling)
        waits = (inbox.delivered.wait(), inbox.gone.wait(), ending.wait(), asyncio.wait({full}))
        await first_of(*waits, seconds=self.clocks.run_left())
        said = "" if full.cancel() else full.result()
        if inbox.report is not None:
            return Ending.DELIVERED
        if said:
            return self._workspace_full(said)
        if inbox.gone.is_set():
            return Ending.GONE
        return await self._agent_told_to_end()

    def _workspace_full(self, said: str) -> Ending:
        """Write the digest before anything else: an eviction leaves a second and no more."""
        log("workspace.full", said=said)
        self.gate.close("the workspace is full")
        outcome = failed(Reason.WORKSPACE_FULL, WORKSPACE_FULL)
        self.telling.say(
            final=True, reason=outcome.reason, phase=outcome.phase, message=outcome.message
        )
        return Ending.FULL

    async def _agent_told_to_end(self) -> Ending:
        """Let an agent whose time is over hand in what it has."""
        self.gate.close("the run's time is over")
        late = self.clocks.run_left() <= 0
        await first_of(
            self.inbox.delivered.wait(), self.inbox.gone.wait(), seconds=DELIVERY_SECONDS
        )
        if late:
            return Ending.DEADLINE
        return Ending.STOPPED if self.inbox.report is None else Ending.DELIVERED

    async def _judged(self, how: Ending) -> Outcome:
        """Judge, within the grace period once the pod is ending."""
        log("agent.ended", how=how, first_call=self.gate.first_call)
        self.timeline.agent_ended()
        self.gate.close("the agent's part has ended")
        judging = asyncio.create_task(self.judge.judge(how, self.clocks.run_left))
        judged = await self.clocks.finish(judging)
        self.telling.steps_ended()
        if judged:
            return _outcome_of(judging)
        if pushing := await self.judge.cut_off():
            return pushing
        return failed(Reason.NO_RESULT, "the pod was stopped before the change was judged")

    async def _settle(self, outcome: Outcome) -> Receipt:
        """Publish and write the final digest; the digest first when the pod is ending."""
        self.telling.say(reason=Reason.PUBLISHING)
        tidying = asyncio.create_task(tidy(self.document, self.settings.index))
        account = await asyncio.to_thread(self._account, self.around.on_ended(outcome))
        account = await asyncio.to_thread(with_report, account, self.inbox)
        outcome = account.outcome
        self.around.on_account(account)
        final = final_words(account)
        if self.clocks.ending.is_set():
            self.telling.say(**final, stored=False if self.settings.nats_url else None)
        stored, sha256 = await self._publish(account)
        self.telling.say(**final, stored=stored, result_sha256=sha256)
        await self.clocks.finish(tidying, TIDY_SECONDS)
        log("settled", reason=outcome.reason, phase=outcome.phase, stored=stored)
        words = f"{outcome.phase}: {outcome.reason} {outcome.message}"
        self.telling.log_service.tell("settled", "info", words)
        return make_receipt(account)

    async def _publish(self, account: Account) -> tuple[bool | None, str]:
        """Return whether NATS took everything in time, and the sha256 of the result."""
        if not self.settings.nats_url:
            return None, ""
        payload = result_payload(build_result(account))
        delivering = asyncio.create_task(self.telling.publisher.deliver(account.files, payload))
        if await self.clocks.finish(delivering, self.document.clocks.flush_seconds):
            delivering.result()
            sending = asyncio.create_task(self.telling.publisher.events_sent())
            await self.clocks.finish(sending, EVENT_SECONDS)
            return True, hashlib.sha256(payload).hexdigest()
        log("store.unavailable", dropped_events=self.telling.publisher.dropped)
        return False, ""

    def _account(self, outcome: Outcome) -> Account:
        evidence = self.judge.evidence
        return Account(
            self.settings,
            self.document,
            self.clone.base_commit,
            outcome,
            evidence,
            self.inbox.report,
            self.gate.usage,
            gather_files(self.inbox, evidence),
            self.telling.dropped,
            self.timeline.timings(),
        )

    def _make_judge(self) -> Judge:
        around = self.around
        return Judge(
            self.places,
            self.document,
            self.clone,
            self.inbox,
            self.telling.step,
            access=around.access,
            push=around.push,
            arrived=around.arrived,
            on_push=self.telling.push,
            own_secrets=(around.model_key,) if around.model_key else (),
        )

    def _hurry(self) -> None:
        self.gate.close("the pod is ending")
        self.clocks.hurry()


def _error_of(outcome: Outcome | None) -> str:
    if not outcome:
        return "NoAgent"
    return "" if outcome.phase is Phase.SUCCEEDED else outcome.reason.value


def _outcome_of(judging: "asyncio.Task[Outcome]") -> Outcome:
    """Return the outcome; a fault in judging itself is one, too, and goes to the log."""
    error = judging.exception()
    if error is None:
        return judging.result()
    traceback.print_exception(error)
    return failed(Reason.INTERNAL_ERROR, f"judging failed: {type(error).__name__}")
