"""The worker for small models: one file after the other, each change checked before it stays.

The harness knows the files, runs the tests and decides; the model says which file, where
that is not plain from the task, and writes code. What does not pass is put back and asked
for again in another way. It never says that work is done which its checks did not see.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agenttask_agent.limits import Budget
from agenttask_agent.loop import Recorder, Toolbox
from agenttask_agent.messages import Message
from agenttask_agent.outcome import Outcome, Stop
from agenttask_agent.small import questions, targets, verdict
from agenttask_agent.small.changes import Change, Changing
from agenttask_agent.small.editor import Client, Editor
from agenttask_agent.small.index import Index, offered
from agenttask_agent.small.verdict import Tests
from agenttask_agent.small.workshop import CannotEdit, Workshop
from agenttask_api.reasons import Reason
from agenttask_api.taskdocument import TaskDocument

MAX_ASKED = 3
"""How often the model is asked which file before it is taken to have misunderstood."""


@dataclass
class SmallWorker:
    """One run with a small model. `run()` may be called once."""

    document: TaskDocument
    model: Client
    toolbox: Toolbox
    recorder: Recorder
    budget: Budget
    index: Index
    window: int | None = None
    """The model's context in tokens, None when it is not known."""
    changed: dict[str, Change] = field(default_factory=dict)

    def run(self, opening: Sequence[Message]) -> Outcome:
        """Work until the task's files are changed or nothing more can be tried."""
        for message in opening:
            self.recorder.message(message)
        try:
            return self._work()
        except (Stop, CannotEdit) as ended:
            stop = ended if isinstance(ended, Stop) else Stop(Reason.TOOL_FAILED, str(ended))
            self._think("error", f"{stop.outcome.reason}: {stop.outcome.message}")
            return stop.outcome

    def _work(self) -> Outcome:
        self.task = task_of(self.document)
        self.editor = Editor(self.model, self.recorder, self.budget, self.task)
        self.shop = Workshop(self.toolbox, self.recorder, self.budget)
        before = self.shop.test() if self.index.has_python_tests() else Tests(ran=False)
        self._think("observation", _told(before))
        changing = Changing(
            self.editor, self.shop, before, self.window,
            verdict.wanted_names(self.task, self.index.names()), self._followers,
        )  # fmt: skip
        return self._all(changing, self._targets())

    def _all(self, changing: Changing, waiting: list[str]) -> Outcome:
        while waiting:
            path = waiting.pop(0)
            change = changing.change(path, self._known(path), last=not waiting)
            self.changed[path] = change
            if change.after is None and not change.unchanged:
                raise Stop(Reason.MODEL_MISUNDERSTOOD, f"no change of {path}: {change.problem}")
            if change.after is not None:
                new = self._followers(path, change.before or "", change.after)
                waiting += [each for each in new if each not in waiting]
        return self._ended()

    def _targets(self) -> list[str]:
        """Return the files the task names, or the one that the model chooses."""
        named = targets.named_in(self.task, self.index)
        if named:
            self._think("decision", "the task names " + ", ".join(named))
            return list(named)
        files = offered(self.index, self.task)
        for _ in range(MAX_ASKED):
            place = self.editor.where(files, ())
            if place and place.path and place.kind != questions.FINISH:
                return [place.path]
        raise Stop(Reason.MODEL_MISUNDERSTOOD, f"no file was named in {MAX_ASKED} replies")

    def _followers(self, path: str, before: str, after: str) -> list[str]:
        """Return the files that still use what a change of `path` takes away."""
        lost = targets.lost_symbols(before, after)
        if not lost or len(self.changed) >= targets.MAX_TARGETS:
            return []
        files = [f.path for f in offered(self.index, self.task) if f.path.endswith(".py")]
        rest = [each for each in files if each != path and each not in self.changed]
        return list(targets.still_using(lost, {each: self.shop.read(each) for each in rest}))

    def _known(self, path: str) -> str | None:
        """Return a file's text, None when it is to be made."""
        return self.shop.read(path) if self.index.find(path) else None

    def _ended(self) -> Outcome:
        done = [change for change in self.changed.values() if change.after is not None]
        said = "; ".join(f"{c.path} by {c.how}" for c in done) or "nothing had to be changed"
        self._think("conclusion", said)
        return Outcome(Reason.COMPLETED, "the changes passed their checks", said)

    def _think(self, kind: str, text: str) -> None:
        self.recorder.thought(self.budget.replies, kind, text)


def task_of(document: TaskDocument) -> str:
    """Return the task as every question repeats it: prompt, requirements, context."""
    parts = [document.prompt.strip()]
    if document.constraints.requirements:
        parts.append("\n".join(f"- {each}" for each in document.constraints.requirements))
    if document.context.strip():
        parts.append(document.context.strip())
    return "\n\n".join(parts)


def _told(tests: Tests) -> str:
    if not tests.ran:
        return "there are no tests to measure a change by"
    return f"before any change {tests.passed} tests pass and {tests.failed} fail"
