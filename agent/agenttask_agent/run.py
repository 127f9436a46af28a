"""One run in the pod, from the task document to the exit code.

Order: door, lifeline, setup, loop, harvest, hand over, receipt. Whatever ends the
work - success, a limit, a bug, SIGTERM - what is there is handed over. Only when no
model ever answered is nothing handed over and 75 returned: that is the one failure
that another pod at another time may not have, and a report would end the task.
"""

import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from agenttask_agent.audit import AuditTrail
from agenttask_agent.door import Door, DoorClosed, open_client, wait_for_door
from agenttask_agent.environment import program_environment
from agenttask_agent.equipment import Equipment, equipped
from agenttask_agent.frame import Frame
from agenttask_agent.harvest import bring_in, subject_of
from agenttask_agent.limits import Budget, Limits
from agenttask_agent.loglines import log_event
from agenttask_agent.messages import Message
from agenttask_agent.models.openai import OpenAIModel, Sampling
from agenttask_agent.models.probe import choose_profile, probe
from agenttask_agent.models.probecache import ProbeCache
from agenttask_agent.models.recommended import recommended
from agenttask_agent.models.retry import Retry
from agenttask_agent.opening import opening
from agenttask_agent.outcome import Outcome, Records, Stop, build_report
from agenttask_agent.paths import Paths
from agenttask_agent.redact import Redactor, secret_values
from agenttask_agent.setup import run_setup
from agenttask_agent.shares import output_size, working_seconds
from agenttask_agent.signals import Terminated, ignore_termination
from agenttask_agent.tools.catalogue import available
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.process import limit_resources
from agenttask_agent.tools.processtree import become_subreaper
from agenttask_agent.tools.remotes import Remotes
from agenttask_agent.tools.repository import Author, Repository
from agenttask_agent.tools.review import Review
from agenttask_agent.tools.toolbox import Toolbox
from agenttask_agent.tools.wholeoutput import MAX_BYTES, WholeOutput, read_whole
from agenttask_agent.tools.workspace import Workspace
from agenttask_agent.transcript import Transcript
from agenttask_agent.workers import Job, Worker, choose_way, choose_worker
from agenttask_api import names
from agenttask_api.agentclass import Profile
from agenttask_api.reasons import Reason
from agenttask_api.result import AgentTests, ModelUse
from agenttask_api.spec import Mode
from agenttask_api.taskdocument import TaskDocument

SALVAGE_SECONDS = 10.0


class TryAnotherPod(Exception):
    """Nothing was done yet, and at another time it may be possible."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what may still come."""

    door_seconds: float = 60.0
    retry: Retry = field(default_factory=Retry)


def run_agent(paths: Paths, patience: Patience) -> int:
    """Work on the task and return the exit code; raises nothing that is foreseen."""
    become_subreaper()
    limit_resources()
    document = TaskDocument.model_validate_json(paths.task_file.read_bytes())
    try:
        wait_for_door(paths.door_socket, patience.door_seconds)
        with open_client(paths.door_socket) as client:
            door = Door(client)
            with (
                door.lifeline(),
                equipped(document, paths, client, partial(_note, door)) as equipment,
            ):
                return Run(document, paths, patience, door, equipment).run()
    except TryAnotherPod as error:
        return _say(names.EX_TEMPFAIL, str(error))
    except DoorClosed as error:
        appeared = paths.door_socket.exists()
        return _say(names.EX_FAILED if appeared else names.EX_TEMPFAIL, str(error))
    except Terminated:
        return _say(names.EX_FAILED, "terminated before the work began")


def _say(code: int, message: str) -> int:
    print(f"agenttask-agent: {message}", file=sys.stderr)  # noqa: T201
    return code


def _note(door: Door, message: str) -> None:
    _say(names.EX_OK, message)
    door.tell(log_event(0, message))


class Run:
    """The parts of one run, put together."""

    def __init__(
        self,
        document: TaskDocument,
        paths: Paths,
        patience: Patience,
        door: Door,
        equipment: Equipment,
    ) -> None:
        self.document, self.paths, self.door, self.equipment = document, paths, door, equipment
        limits = document.constraints
        self.budget = Budget(
            Limits(
                replies=limits.max_iterations,
                operations=limits.max_operations,
                tokens=limits.max_model_tokens,
                seconds=working_seconds(document.clocks.run_seconds),
            )
        )
        policy = document.git
        self.repository = Repository(
            paths.repo,
            Author(policy.author_name, policy.author_email),
            os.environ["PATH"],
            remotes=Remotes((str(paths.remote),)),
        )
        self.env = program_environment(os.environ, document.env, paths.home, paths.tmp)
        self.redactor = Redactor(secret_values(os.environ) + secret_values(self.env))
        self.transcript = Transcript(paths.transcript, door.tell)
        self.audit = AuditTrail(paths.audit, self.redactor)
        self.base = self.repository.head() or ""
        self.review = Review(self.repository, self.base)
        self.model_use: ModelUse | None = None
        self.frame = Frame()
        self.model = self._model(patience.retry)

    def run(self) -> int:
        """Work, hand over, wait for the receipt; return the exit code."""
        deadline = None
        try:
            outcome = self._work()
            return self._deliver(outcome, None)
        except Terminated:
            ignore_termination()
            deadline = time.monotonic() + SALVAGE_SECONDS
        outcome = Outcome(Reason.CANCELLED, "terminated; this is the partial work")
        return self._deliver(outcome, deadline)

    def _work(self) -> Outcome:
        try:
            start = self.paths.repo / self.document.repo.path
            run_setup(self.document.setup, start, self.env, self.budget.seconds_left())
            for absent in self.equipment.absent:
                self.transcript.thought(0, "observation", absent)
            return self._worker().run(self._opening())
        except Stop as stop:
            self.transcript.thought(0, "error", f"{stop.outcome.reason}: {stop.outcome.message}")
            return stop.outcome
        except Exception as error:
            traceback.print_exc()
            self.transcript.log(self.redactor.text(traceback.format_exc()))
            return Outcome(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")

    def _opening(self) -> list[Message]:
        plans = self.document.constraints.mode is Mode.PLAN
        files = self.repository.text(["ls-files"]).splitlines() if plans else []
        return opening(self.document, self.frame, self.equipment.absent, files)

    def _worker(self) -> Worker:
        """Find out how the model is to be driven, and return who does it."""
        settings = self.document.model
        count, cache = self.budget.count_probe, ProbeCache(self.paths.probe_cache)
        found = probe(self.model, settings.name, settings.context_window, count, cache)
        profile = choose_profile(settings.profile, found)
        way = choose_way(self.document, profile)
        self.model_use = ModelUse(profile=profile.value, way=way.value, capabilities=found)
        if profile is Profile.LARGE:
            self.model.usual = recommended(settings.name)
        self.transcript.thought(0, "observation", _told(self.model_use))
        job = Job(
            document=self.document,
            model=self.model,
            toolbox=self._toolbox(found.context_window),
            recorder=self.transcript,
            budget=self.budget,
            root=self.paths.repo,
            capabilities=found,
            frame=self.frame,
        )
        return choose_worker(job, way)

    def _toolbox(self, window: int | None) -> Toolbox:
        context = ToolContext(
            workspace=Workspace(self.paths.repo),
            repository=self.repository,
            env=self.env,
            tmp=self.paths.tmp,
            start=self.document.repo.path or ".",
            seconds_left=self.budget.seconds_left,
            http=self.equipment.http,
            docker=self.equipment.docker,
            databases=self.equipment.databases,
            whole_output=self._whole_output(),
        )
        return Toolbox(
            context,
            self.equipment.policy,
            self.audit,
            self.review,
            self.redactor,
            max_output=output_size(window),
            catalogue=available(context),
            log=self.transcript.log,
            timed=self.transcript.tool if self.document.traceparent else None,
        )

    def _whole_output(self) -> WholeOutput:
        """Leave half of the task's artifacts to the others, which are handed over first."""
        most = min(MAX_BYTES, self.document.artifacts.max_bytes // 2)
        path = self.paths.tests_log
        return WholeOutput(path, self.redactor, path.name, max_bytes=most)

    def _model(self, retry: Retry) -> OpenAIModel:
        settings = self.document.model
        sampling = Sampling(settings.name, settings.temperature, settings.max_tokens)
        return OpenAIModel(self.door.client, sampling, retry, seconds_left=self.budget.seconds_left)

    def _deliver(self, outcome: Outcome, deadline: float | None) -> int:
        """Hand over what there is; after SIGTERM only until the deadline."""
        if self.model.unreachable and not self.model.answered:
            raise TryAnotherPod(outcome.message)
        if deadline is not None:
            self.repository.seconds_left = lambda: (deadline - time.monotonic()) / 2
        message = f"{subject_of(self.document.prompt)}\n\nTask: {self.document.identity.task_id}"
        harvest = bring_in(self.repository, self.base, message, self.paths.bundle)
        if harvest.problem:
            self.transcript.thought(self.budget.replies, "error", harvest.problem)
        self._hand_over_files(harvest.bundle)
        self.door.put_result(build_report(outcome, self._records(), harvest.commit))
        left = None if deadline is None else max(0.1, deadline - time.monotonic())
        receipt = self.door.receipt(left)
        _say(0, f"{receipt.phase}: {receipt.reason} {receipt.message}".rstrip())
        return names.EX_OK if receipt.phase == "Succeeded" else names.EX_FAILED

    def _hand_over_files(self, bundle: Path | None) -> None:
        """Put artifacts and bundle; the report must go even when one is refused."""
        for path in (self.paths.transcript, self.paths.audit):
            if path.exists():
                self._hand_over(path, partial(self.door.put_artifact, path.name))
        if bundle:
            self._hand_over(bundle, self.door.put_bundle)
        log = self.paths.tests_log
        if os.path.lexists(log):
            self._hand_over(log, partial(self.door.put_artifact, log.name), read_whole)

    def _hand_over(
        self,
        path: Path,
        put: Callable[[bytes], None],
        read: Callable[[Path], bytes] = Path.read_bytes,
    ) -> None:
        try:
            put(read(path))
        except (DoorClosed, OSError) as error:
            self.transcript.thought(self.budget.replies, "error", f"{path.name}: {error}")

    def _records(self) -> Records:
        return Records(
            operations=self.audit.operations,
            thoughts=self.transcript.thoughts,
            audit=self.audit.entries,
            usage=self.budget.usage(),
            model=self.model_use,
            requirements=self.document.constraints.requirements,
            tests=AgentTests(before=self.review.before, after=self.review.after),
        )


def _told(use: ModelUse) -> str:
    able = use.capabilities
    words = {
        "structured output": able.structured_output,
        "required tool calls": able.required_calls,
        "thinking": able.thinking,
    }
    found = ", ".join(f"{word}: {'yes' if has else 'no'}" for word, has in words.items())
    window = able.context_window or "unknown"
    return f"{able.model} is driven as {use.profile} by {use.way} (context {window}, {found})"
