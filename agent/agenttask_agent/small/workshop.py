"""The workspace as the pipeline sees it: every look and every change is an audited operation."""

from dataclasses import dataclass, field

from agenttask_agent.limits import Budget
from agenttask_agent.loop import Recorder, Toolbox
from agenttask_agent.results import ToolResult
from agenttask_agent.small.verdict import Tests
from agenttask_api.status import TestCounts

MAX_TEST_TEXT = 1500
"""Characters of a failing test run that the model is shown: the end says what failed."""
RUNNERS = ("tests_pytest",)


class CannotEdit(Exception):
    """A file cannot be worked on; the text says why."""


@dataclass
class Workshop:
    """Reads and writes files and runs tests through the run's toolbox."""

    toolbox: Toolbox
    recorder: Recorder
    budget: Budget
    originals: dict[str, str | None] = field(default_factory=dict)
    """What the files of this run held before it touched them; None = there was none."""

    def allows(self, name: str) -> bool:
        """Say whether the run has an operation, by its wire name."""
        return any(_name(schema) == name for schema in self.toolbox.schemas())

    def read(self, path: str) -> str:
        """Return a file's text; raises CannotEdit when it is not shown whole and as it is."""
        result = self._call("files_read_file", {"path": path})
        if not result.ok:
            raise CannotEdit(f"{path} cannot be read: {result.error}")
        if result.truncated:
            raise CannotEdit(f"{path} is too long for this model")
        return result.output

    def write(self, path: str, text: str) -> None:
        """Give a file new content; raises CannotEdit when that is refused."""
        result = self._call("files_write_file", {"path": path, "content": text})
        if not result.ok:
            raise CannotEdit(f"{path} cannot be written: {result.error}")

    def put_back(self, path: str, text: str | None) -> None:
        """Restore what a rejected candidate changed."""
        if text is None:
            self._call("files_delete_file", {"path": path})
        else:
            self.write(path, text)

    def test(self) -> Tests:
        """Run the tests, if this run may."""
        if not self.allows(RUNNERS[0]):
            return Tests(ran=False)
        result = self._call(RUNNERS[0], {"path": "."})
        known = result.metadata.get("tests")
        counts = TestCounts.model_validate(known) if known else None
        text = result.output[-MAX_TEST_TEXT:]
        return Tests(ran=counts is not None, ok=result.ok, counts=counts, text=text)

    def _call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        self.budget.before_operation()
        result = self.toolbox.call(name, arguments)
        state = "succeeded" if result.ok else "was denied" if result.denied else "failed"
        self.recorder.thought(
            self.budget.replies, "action", f"{result.operation} {state}", (result.seq,)
        )
        if not result.ok and result.error:
            self.recorder.thought(self.budget.replies, "observation", result.error, (result.seq,))
        return result


def _name(schema: dict[str, object]) -> str:
    function = schema.get("function")
    return str(function.get("name", "")) if isinstance(function, dict) else ""
