"""Who does the work of a run: chosen by its mode and by the model's profile.

| mode | profile | worker |
|---|---|---|
| Plan | any | `plan.PlanWorker` |
| Iterative | Large | `loop.Loop` |
| Iterative | Small | `small.entry.SmallWorker` where a change is wanted, else `loop.Loop` |

Every worker is made from one `Job`, is run once with the opening messages, and says
why it ended. It raises nothing that is foreseen: a `Stop` from below it becomes its
outcome. It never commits, and never claims success.

A worker asks the model in one of two ways: `model.reply(...)` for a turn with tools,
`model.ask(request)` for a whole request of its own, whose answer `parsing.parse_reply`
reads. Around either belong `budget.before_reply()` and `budget.count(reply)`. Files are
read and changed only through `toolbox.call(...)`, each after `budget.before_operation()`,
so that policy, audit and redaction hold; `root` is for looking (an index of names).
What happens is told to `recorder.thought(...)`; whole messages to `recorder.message(...)`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from agenttask_agent.compaction import Compaction
from agenttask_agent.frame import Frame
from agenttask_agent.guard import LoopGuard
from agenttask_agent.limits import Budget
from agenttask_agent.loop import Loop
from agenttask_agent.messages import Message
from agenttask_agent.models.openai import DEFAULT_REPLY_TOKENS
from agenttask_agent.outcome import Outcome
from agenttask_agent.plan import PlanToolbox, PlanWorker
from agenttask_agent.ports import Model, Recorder
from agenttask_api.agentclass import Profile
from agenttask_api.result import Capabilities
from agenttask_api.spec import Mode
from agenttask_api.taskdocument import TaskDocument


class Client(Model, Protocol):
    """A model that can be asked for a turn, or with a request of one's own."""

    def ask(self, request: Message) -> Message:
        """Return the body of a chat completion; raises as `reply`, ModelRefused for a 4xx."""
        ...


@dataclass(frozen=True)
class Job:
    """All that a worker needs."""

    document: TaskDocument
    model: Client
    toolbox: PlanToolbox
    recorder: Recorder
    budget: Budget
    root: Path
    """The repository's root in the workspace."""
    capabilities: Capabilities
    frame: Frame
    """The one that the opening tells of."""


class Worker(Protocol):
    """Does the work of one run."""

    def run(self, opening: Sequence[Message]) -> Outcome:
        """Work until the task is done or a limit is reached; may be called once."""
        ...


class Way(StrEnum):
    """How a run's work is done."""

    PLAN = "Plan"
    LOOP = "Loop"
    QUESTIONS = "Questions"
    """Bounded questions, for small models that are to change something."""


def choose_way(document: TaskDocument, profile: Profile) -> Way:
    """Return how the work is done, from the task's mode and the model's profile."""
    if document.constraints.mode is Mode.PLAN:
        return Way.PLAN
    small = profile is Profile.SMALL and document.change_wanted()
    return Way.QUESTIONS if small else Way.LOOP


def choose_worker(job: Job, way: Way) -> Worker:
    """Return the worker that works in this way."""
    makers: dict[Way, Callable[[Job], Worker]] = {
        Way.PLAN: _plan_worker,
        Way.LOOP: _loop,
        Way.QUESTIONS: _small,
    }
    return makers[way](job)


def _loop(job: Job) -> Loop:
    return Loop(
        job.model,
        job.toolbox,
        job.recorder,
        job.budget,
        requirements=len(job.document.constraints.requirements),
        frame=job.frame,
        guard=LoopGuard(expects_edits=job.document.change_wanted()),
        compaction=Compaction(
            job.capabilities.context_window,
            job.document.model.max_tokens or DEFAULT_REPLY_TOKENS,
        ),
    )


def _small(job: Job) -> Worker:
    # Imported here: most runs do without it, and it needs Job.
    from agenttask_agent.small.entry import SmallWorker

    return SmallWorker(job)


def _plan_worker(job: Job) -> PlanWorker:
    return PlanWorker(
        job.model,
        job.toolbox,
        job.recorder,
        job.budget,
        job.document.constraints,
        structured=job.capabilities.structured_output,
    )
