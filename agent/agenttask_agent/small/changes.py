"""Changes one file: tries the ways of editing in turn until a candidate passes its checks."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agenttask_agent.small import portfolio, verdict
from agenttask_agent.small.editor import Editor
from agenttask_agent.small.index import symbols_of
from agenttask_agent.small.portfolio import Try
from agenttask_agent.small.splice import CannotSplice
from agenttask_agent.small.verdict import Judgement, Tests
from agenttask_agent.small.workshop import Workshop

MAX_REPAIRS = 1
"""Of a candidate; another format is worth more than a third try at the same."""
MAX_CANDIDATES = 10
"""Of one file."""
ENOUGH_UNCHANGED = 3
"""Answers that give the file back as it was: then there is nothing to do in it."""


@dataclass(frozen=True)
class Change:
    """What became of one file; `after` is None when no candidate was good enough."""

    path: str
    before: str | None
    after: str | None = None
    how: str = ""
    problem: str = ""
    unchanged: bool = False
    """The model gave the file back as it was, again and again."""


@dataclass
class Changing:
    """Changes files one after the other, against one measurement of the tests before."""

    editor: Editor
    shop: Workshop
    tests: Tests
    window: int | None
    wanted: Sequence[str]
    """Names that have to exist in the end."""
    followers: Callable[[str, str, str], Sequence[str]]
    """Files that still use what a change of a path took away: they come next."""
    candidates: int = 0
    same: int = 0
    problem: str = ""

    def change(self, path: str, before: str | None, last: bool) -> Change:
        """Try until a candidate passes; `last` says that all of the task must be done then."""
        self.candidates, self.same, self.problem = 0, 0, ""
        source = before or ""
        fitting = portfolio.formats(source, bool(symbols_of(source)), self.editor.task, self.window)
        if not fitting:
            return Change(path, before, problem="it is too long for this model")
        for how in portfolio.tries(fitting):
            after = self._tried(path, before, how, last)
            if after is not None:
                return Change(path, before, after, how.format)
            if self.same >= ENOUGH_UNCHANGED and not last:
                return Change(path, before, unchanged=True)
            if self.candidates >= MAX_CANDIDATES:
                break
        nothing = self.same > 0 and self.same == self.candidates
        return Change(path, before, problem=self.problem, unchanged=nothing)

    def _tried(self, path: str, before: str | None, how: Try, last: bool) -> str | None:
        """Return the candidate of one format that passes, repaired if need be."""
        problem = ""
        for _ in range(1 + MAX_REPAIRS):
            self.candidates += 1
            try:
                after = self.editor.candidate(path, before or "", how, problem)
            except CannotSplice as reason:
                self._rejected(path, how, str(reason))
                return None
            if after == before:
                self.same += 1
                self._rejected(path, how, f"{path} is unchanged")
                return None
            problem = self._problem(path, before, after, last)
            if not problem:
                return after
            self._rejected(path, how, problem)
        return None

    def _problem(self, path: str, before: str | None, after: str, last: bool) -> str:
        """Return why a candidate does not pass; one that passes stays in the workspace."""
        problem = verdict.problem_of(path, before or "", after, self.editor.task)
        if problem:
            return problem
        self.shop.write(path, after)
        judgement = self._judged(after) if self._is_last(path, before, after, last) else Judgement()
        if judgement.problem:
            self.shop.put_back(path, before)
        return judgement.problem

    def _is_last(self, path: str, before: str | None, after: str, last: bool) -> bool:
        """Say whether the task must be done with this file: nothing else uses what it took away."""
        return last and not self.followers(path, before or "", after)

    def _judged(self, after: str) -> Judgement:
        missing = [n for n in self.wanted if not re.search(rf"\b{re.escape(n)}\b", after)]
        tests = self.shop.test() if self.tests.ran or self.tests.counts else Tests(ran=False)
        return verdict.judge(self.tests, tests, missing)

    def _rejected(self, path: str, how: Try, problem: str) -> None:
        self.problem = problem
        text = f"{path}, {how.format}, sample {how.sample}: {problem}"
        self.editor.recorder.thought(self.editor.budget.replies, "observation", text)
