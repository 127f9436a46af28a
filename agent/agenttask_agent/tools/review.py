"""What a run has done to the workspace, measured when it is asked for.

Shown to the model before it may finish: the difference from where it started, not
its memory of it, and whether tests ran after the last edit.
"""

from dataclasses import dataclass

from agenttask_agent.results import ToolResult
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.repository import Repository
from agenttask_api.counts import TestCounts

MAX_FILES = 100


@dataclass
class Review:
    """Follows the results of one run that started at commit `base`."""

    repository: Repository
    base: str
    tests: str = "no tests were run"
    stale: bool = False
    """Whether files were edited after the last tests."""
    edited: bool = False
    before: TestCounts | None = None
    """Of the last tests before the first edit."""
    after: TestCounts | None = None
    """Of the last tests after the last edit."""

    def saw(self, result: ToolResult) -> None:
        """Remember what matters of one result."""
        self._count(result)
        self.stale = self.stale or result.edited
        if result.operation.startswith("tests.") and not result.denied:
            verdict = "passed" if result.ok else f"did not pass: {result.error}"
            self.tests, self.stale = f"the last tests {verdict}", False

    def _count(self, result: ToolResult) -> None:
        counts = result.metadata.get("tests")
        if result.edited:
            self.edited, self.after = True, None
        if isinstance(counts, dict) and self.edited:
            self.after = TestCounts.model_validate(counts)
        elif isinstance(counts, dict):
            self.before = TestCounts.model_validate(counts)

    def text(self) -> str:
        """Return the difference from the base and the state of the tests."""
        try:
            changes = self._changes()
        except ToolError as error:
            changes = f"the difference cannot be shown: {error}"
        stale = "; files were edited after that" if self.stale else ""
        return f"{changes}\n\nTests: {self.tests}{stale}."

    def _changes(self) -> str:
        stat = self.repository.text(
            [
                "diff",
                "--stat",
                "--no-ext-diff",
                "--no-textconv",
                "--ignore-submodules=all",
                self.base,
            ]
        )
        others = self.repository.text(["ls-files", "--others", "--exclude-standard"])
        new = [f" {name} (new)" for name in others.splitlines()[:MAX_FILES]]
        return "\n".join([stat, *new]).strip() or "Nothing has changed."
