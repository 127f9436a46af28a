"""What has happened so far, as data: fed by the courier, read by whoever shows it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agenttask_api.door import LOG, DoorEvent
from agenttask_api.status import Usage
from agenttask_courier.decision import Step

_STAGES = {
    Step.INTAKE: "Taking in the change",
    Step.SALVAGE: "Rescuing what there is",
    Step.POLICY: "Checking the policy",
    Step.VERIFY: "Verifying on a clean checkout",
    Step.COMPARE: "Comparing with the commit it started from",
    Step.PUSH: "Writing the branch",
    Step.REBASE: "Rebasing onto the branch, which has moved",
    Step.KEEP: "Keeping the work on a branch of its own",
}


@dataclass(frozen=True)
class Line:
    """One thing that happened."""

    seconds: float
    """Since the run's begin."""
    iteration: int
    kind: str
    """stage, note, analysis, decision, action, observation, conclusion or error."""
    text: str
    state: str = ""
    """Of an action: succeeded, failed or denied."""
    took: float | None = None
    """Seconds that an action took."""


@dataclass
class Story:
    """One run as it goes on. `tell` hears of every new line."""

    tell: Callable[[Line], None] = lambda _: None
    clock: Callable[[], float] = time.monotonic
    lines: list[Line] = field(default_factory=list)
    stage: str = ""
    iteration: int = 0
    usage: Usage = Usage()
    _begun: float = field(init=False)
    _called: float | None = None

    def __post_init__(self) -> None:
        self._begun = self.clock()

    @property
    def seconds(self) -> float:
        """Return the seconds since the run's begin."""
        return self.clock() - self._begun

    def enter(self, stage: str) -> None:
        """A new part of the run begins."""
        self.stage = stage
        self._add("stage", stage)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self._add("note", text)

    def judging(self, step: Step) -> None:
        """The courier finds out the next thing."""
        self.enter(_STAGES.get(step, str(step)))

    def event(self, event: DoorEvent) -> None:
        """The agent told something."""
        if event.type in ("model_call", LOG):
            return
        self.iteration = max(self.iteration, event.step)
        if event.type == "decision":
            self._called = self.seconds
        if event.type == "action":
            self._action(event.message)
        else:
            self._add(event.type, event.message)

    def _action(self, message: str) -> None:
        """Take `files.read_file succeeded` apart; the next one starts where this one ended."""
        operation, _, state = message.partition(" ")
        began, self._called = self._called, self.seconds
        took = None if began is None else self.seconds - began
        self._add("action", operation, state.removeprefix("was "), took)

    def _add(self, kind: str, text: str, state: str = "", took: float | None = None) -> None:
        line = Line(self.seconds, self.iteration, kind, text, state, took)
        self.lines.append(line)
        self.tell(line)
