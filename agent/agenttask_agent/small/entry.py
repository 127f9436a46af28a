"""One run of the small profile: take in, locate, edit, check, sample, verify.

The passes go from cheap to dear and stop as soon as no check has anything left to say:
each edit once at temperature 0, then in samples, then whole files, then whole files
with the failure shown. Success is what the checks say; a run that changed nothing or
that they do not like ends with a reason that says so.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from agenttask_agent.messages import Message
from agenttask_agent.outcome import ContextOverflow, Outcome, Stop
from agenttask_agent.small import decide, formats, pysource
from agenttask_agent.small.ask import Asker
from agenttask_agent.small.bench import Bench, others_text
from agenttask_agent.small.decide import Score
from agenttask_agent.small.formats import Item
from agenttask_agent.small.rename import rename
from agenttask_agent.small.words import read_words
from agenttask_agent.workers import Job
from agenttask_api.reasons import Reason

SAMPLES = 4
MAX_TARGETS = 4
OTHERS = 3000
"""Characters of other files in a prompt."""


@dataclass
class SmallWorker:
    """One run. `run()` may be called once."""

    job: Job
    usable: int = 0
    """Answers that held an edit."""
    bench: Bench = field(init=False)
    asker: Asker = field(init=False)
    score: Score = field(default_factory=Score)
    failure: str = ""

    def __post_init__(self) -> None:
        self.task = self.job.document.prompt
        self.words = read_words(self.task)
        self.bench = Bench(self.job, self.words)
        self.asker = Asker(self.job)

    def run(self, opening: Sequence[Message]) -> Outcome:
        """Work until the checks are content or nothing is left to try."""
        for message in opening:
            self.job.recorder.message(message)
        try:
            outcome = self._work()
        except Stop as stop:
            outcome = stop.outcome
        finally:
            self.bench.clear_examples()
        kind = "conclusion" if outcome.reason is Reason.COMPLETED else "error"
        self._note(kind, f"{outcome.reason}: {outcome.message}")
        return outcome

    def _work(self) -> Outcome:
        paths = self.bench.list_paths()
        self.bench.take_in(paths)
        self.bench.new = tuple(decide.new_names(self.words, self.bench.now))
        targets = self._targets(paths)
        if not any(target.endswith(".py") for target in targets):
            self.bench.new = ()  # which names a file defines is known of Python alone
        self.bench.place_examples([*targets, *decide.defining(self.words, self.bench.now)])
        self.bench.before = self.bench.check()
        self.score, self.failure = self.bench.score(self.bench.before), self.bench.before.output
        if self._already_done(targets):
            return Outcome(Reason.NO_CHANGE, "what the task asks for is there: its examples hold")
        self._edit(targets)
        return self._outcome()

    def _targets(self, paths: Sequence[str]) -> list[str]:
        """Return the files to edit: named ones, defining ones, else the model's choice."""
        named = decide.named_targets(self.words, paths)
        created = decide.new_files(self.words, paths)
        found = [p for p in [*named, *created] if p in created or self.bench.read(p)]
        if not found:
            found = decide.defining(self.words, self.bench.now)
        if not found:
            options = [p for p in paths if self.words.wants_tests or not decide.is_test(p)]
            if not options:
                raise Stop(Reason.NO_CHANGE, "there is no file that the task could mean")
            chosen = self.asker.choose(self.task, "The file to change", options)
            found = [chosen] if self.bench.read(chosen) else []
        self._note("decision", "files to edit: " + ", ".join(found[:MAX_TARGETS]))
        return found[:MAX_TARGETS]

    def _already_done(self, targets: Sequence[str]) -> bool:
        proven = bool(self.words.examples) and bool(self.bench.examples_in)
        there = all(target in self.bench.now for target in targets)
        return proven and there and self.score.solved()

    def _edit(self, targets: Sequence[str]) -> None:
        if self.words.rename and self._renamed():
            return
        items = [item for n, target in enumerate(targets) for item in self._items(target, n == 0)]
        wholes = [Item("create" if t not in self.bench.base else "whole", t) for t in targets]
        for samples in (1, SAMPLES):
            if self._pass(items, samples):
                return
        for samples in (1, SAMPLES):
            fitting = [w for w in wholes if self._fits(w)]
            if self._pass([w for w in fitting if w not in items or self.failure], samples):
                return

    def _items(self, target: str, first: bool) -> list[Item]:
        if target not in self.bench.now:
            return [Item("create", target)]
        text = self.bench.now[target]
        return decide.items_for(target, text, self.words, self.bench.new, first)

    def _fits(self, item: Item) -> bool:
        text = self.bench.now.get(item.path, "")
        return decide.fits_whole(text, self.job.capabilities.context_window)

    def _renamed(self) -> bool:
        assert self.words.rename
        for path in list(self.bench.now):
            new = rename(path, self.bench.now[path], *self.words.rename)
            if new != self.bench.now[path]:
                self.bench.write(path, new)
        return bool(self.bench.changed()) and self._weigh()

    def _weigh(self) -> bool:
        """Check the files as they are; say whether nothing is left to do."""
        checked = self.bench.check()
        self.score, self.failure = self.bench.score(checked), checked.output
        return self.score.solved() and bool(self.bench.changed())

    def _pass(self, items: Sequence[Item], samples: int) -> bool:
        """Try every edit once; say whether the checks are content."""
        for item in items:
            if self._done() and item.path in self.bench.changed():
                continue
            self._attempt(item, samples)
        return self._done()

    def _done(self) -> bool:
        return self.score.solved() and bool(self.bench.changed())

    def _attempt(self, item: Item, samples: int) -> None:
        """Ask for one edit and keep the best answer that makes nothing worse."""
        text = self.bench.now.get(item.path, "")
        if item.format == "create" and text:
            item = Item("whole", item.path)
        if item.format in ("append", "method") and self._defines(text, item.name):
            item = Item("symbol", item.path, item.name)
        if item.format != "create" and item.format != "whole" and not formats.cut_of(item, text):
            item = formats.as_whole(item)
        others = others_text(self.bench.now, item.path, OTHERS)
        question = formats.question(item, text, self.task, others, self.failure)
        try:
            answers = self.asker.code(question, samples)
        except ContextOverflow:
            self._note("error", f"{item.path} does not fit into the model's window")
            return
        for candidate in _by_votes([formats.apply(item, text, a) for a in answers]):
            self.usable += 1
            if self._try(item, candidate) and self._done():
                return

    def _try(self, item: Item, candidate: str) -> bool:
        """Put a candidate in place and keep it if the checks like it no less."""
        old = self.bench.now.get(item.path)
        removing = bool(self.words.rename) or "remove" in self.task.lower()
        problem = decide.objection(item.path, old or "", candidate, removing)
        if problem:
            self._note("observation", f"{item.format} {item.path}: not tried, {problem}")
            return False
        if not self.bench.write(item.path, candidate):
            return False
        checked = self.bench.check()
        score = self.bench.score(checked)
        unedited = self.bench.base.get(item.path) == old
        better = score.key() < self.score.key() or (unedited and score.key() == self.score.key())
        self._note("observation", f"{item.format} {item.path}: {score}, kept: {better}")
        if better:
            self.score, self.failure = score, checked.output
        else:
            self.bench.put_back(item.path, old)
        return better

    def _defines(self, text: str, name: str) -> bool:
        return pysource.find(pysource.symbols_of(text) or (), name) is not None

    def _outcome(self) -> Outcome:
        changed = self.bench.changed()
        if not changed and not self.usable:
            return Outcome(Reason.MODEL_MISUNDERSTOOD, "no answer of the model held an edit")
        if not changed:
            return Outcome(Reason.NO_CHANGE, "no answer of the model passed the checks")
        files = ", ".join(sorted(changed))
        if self.score.solved():
            return Outcome(Reason.COMPLETED, f"changed {files}", f"Changed {files}.")
        return Outcome(Reason.VERIFICATION_FAILED, f"changed {files}, but: {self._left()}")

    def _left(self) -> str:
        score = self.score
        parts = {
            "visible tests broken": score.broken,
            "names missing": score.missing,
            "examples of the task that do not hold": score.examples,
            "visible tests failing": score.failing,
        }
        return ", ".join(f"{count} {what}" for what, count in parts.items() if count)

    def _note(self, kind: str, content: str) -> None:
        self.job.recorder.thought(self.job.budget.replies, kind, content)


def _by_votes(candidates: Sequence[str | None]) -> list[str]:
    """Return the different candidates, the most often given first."""
    found = [c for c in candidates if c is not None]
    votes = Counter(map(pysource.shape, found))
    first = {pysource.shape(c): c for c in reversed(found)}
    return [first[shape] for shape, _ in votes.most_common()]
