"""The only way to an operation: look up, check, execute, clean, audit.

Dispatch is the catalogue and nothing else. Whatever happens inside an operation,
the answer is a result, and every attempt leaves exactly one audit entry.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any

from pydantic import ValidationError

from agenttask_agent.audit import AuditTrail
from agenttask_agent.redact import Redactor
from agenttask_agent.results import ToolResult
from agenttask_agent.sanitise import cap, neutralise
from agenttask_agent.tools.catalogue import CATALOGUE, audited
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Operation
from agenttask_agent.tools.policy import Policy
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.review import Review
from agenttask_agent.tools.schema import tool_schema
from agenttask_api.door import ToolCall

MAX_OUTPUT_CHARACTERS = 24_000
HEAD_SHARE, TAIL_HEAVY_SHARE = 0.6, 0.25
MAX_NAME = 100
MAX_TOGETHER = 4
"""Operations that run at the same time."""


@dataclass
class Attempt:
    """One call, and what became of it."""

    name: str
    arguments: dict[str, object]
    result: ToolResult | None = None
    began_ns: int = 0
    """Nanoseconds since 1970."""
    seconds: float = 0.0


@dataclass
class Toolbox:
    """The operations of one run."""

    context: ToolContext
    policy: Policy
    audit: AuditTrail
    review_of: Review
    redactor: Redactor = field(default_factory=Redactor)
    max_output: int = MAX_OUTPUT_CHARACTERS
    """Characters of one result that the model is shown."""
    catalogue: tuple[Operation[Any], ...] = CATALOGUE
    clock: Callable[[], float] = time.monotonic
    log: Callable[[str], None] = lambda _: None
    """Is told each result as the model reads it."""
    timed: Callable[[ToolCall], None] | None = None
    """Is told when each call was made, and how it went."""

    def schemas(self) -> list[dict[str, object]]:
        """Return the allowed operations, and only those, for the model."""
        return [tool_schema(operation) for operation in self.policy.allowed(self.catalogue)]

    def plannable(self) -> list[dict[str, object]]:
        """Return what a plan may name: a read-only run only plans, so its plan may write."""
        policy = replace(self.policy, read_only=False)
        return [tool_schema(operation) for operation in policy.allowed(self.catalogue)]

    def problem(self, name: str, arguments: dict[str, object]) -> str:
        """Return why an operation does not take these arguments; nothing when it does."""
        operation = self._find(name)
        if operation is None:
            return "there is no such operation"
        try:
            operation.params.model_validate(arguments)
        except ValidationError as error:
            return _explain(error)
        return ""

    def edits(self, name: str) -> bool:
        """Say whether an operation changes the files that are the work."""
        operation = self._find(name)
        return operation is not None and operation.edits

    def joins(self, name: str) -> bool:
        """Say whether an operation may run at the same time as others of its kind."""
        operation = self._find(name)
        return operation is not None and operation.joins

    def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        """Execute one operation by wire or dotted name; never raises for what it is given."""
        attempt = Attempt(name, arguments)
        try:
            self._make(attempt)
        finally:
            result = self._told(attempt)
        return result

    def call_together(
        self, calls: Sequence[tuple[str, dict[str, object]]]
    ) -> tuple[ToolResult, ...]:
        """Execute operations that join at the same time; results and audit keep their order."""
        attempts = [Attempt(name, arguments) for name, arguments in calls]
        try:
            for start in range(0, len(attempts), MAX_TOGETHER):
                self._make_together(attempts[start : start + MAX_TOGETHER])
        finally:
            results = tuple(map(self._told, attempts))
        return results

    def review(self) -> str:
        """Return what has changed since the start, and what the last tests said."""
        return self._presentable(self.review_of.text(), False)[0]

    def _find(self, name: str) -> Operation[Any] | None:
        return next((o for o in self.catalogue if name in (o.wire_name, o.key)), None)

    def _make(self, attempt: Attempt) -> None:
        started, attempt.began_ns = self.clock(), time.time_ns()
        try:
            operation = self._find(attempt.name)
            attempt.result = self._attempt(operation, self._key(attempt.name), attempt.arguments)
        finally:
            attempt.seconds = self.clock() - started

    def _make_together(self, attempts: Sequence[Attempt]) -> None:
        """Wait for all; a thread that is still at work when the run is ended holds up nothing."""
        threads = [Thread(target=self._make, args=(a,), daemon=True) for a in attempts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _told(self, attempt: Attempt) -> ToolResult:
        """Number, clean and write down one attempt, whatever became of it."""
        interrupted = ToolResult(False, self._key(attempt.name), error="interrupted")
        result = self._clean(attempt.result or interrupted)
        result = replace(result, seq=self.audit.next_seq())
        operation = self._find(attempt.name)
        shown = audited(operation, attempt.arguments) if operation else attempt.arguments
        self.audit.record(result, shown, attempt.seconds)
        self.review_of.saw(result)
        self.log(result.for_model())
        if self.timed:
            self.timed(_timed(attempt, result))
        return result

    def _key(self, name: str) -> str:
        operation = self._find(name)
        return operation.key if operation else neutralise(self.redactor.text(name))[:MAX_NAME]

    def _attempt(
        self, operation: Operation[Any] | None, key: str, arguments: dict[str, object]
    ) -> ToolResult:
        if operation is None:
            offered = ", ".join(_wire_names(self.policy.allowed(self.catalogue)))
            return ToolResult(False, key, error=f"there is no such operation; there are {offered}")
        refusal = self.policy.refusal(operation)
        if refusal:
            return ToolResult(False, key, error=refusal, denied=True)
        try:
            params = operation.params.model_validate(arguments)
            if refusal := self.policy.refusal_of_use(operation, params):
                raise Denied(refusal)
            answer = operation.handler(self.context, params)
        except ValidationError as error:
            return ToolResult(False, key, error=_explain(error))
        except ToolError as error:
            return ToolResult(False, key, error=str(error), denied=isinstance(error, Denied))
        except Exception as error:
            return ToolResult(False, key, error=f"internal error: {type(error).__name__}: {error}")
        return self._result(operation, answer)

    def _result(self, operation: Operation[Any], answer: Answer) -> ToolResult:
        output, cut = self._presentable(answer.output, answer.keep_tail)
        return ToolResult(
            ok=answer.error is None,
            operation=operation.key,
            output=output,
            truncated=cut or answer.truncated,
            exit_code=answer.exit_code,
            error=answer.error,
            metadata=answer.metadata,
            edited=operation.edits and answer.error is None,
        )

    def _clean(self, result: ToolResult) -> ToolResult:
        metadata = {k: self.redactor.value(v) for k, v in result.metadata.items()}
        result = replace(result, metadata=metadata)
        if result.error is None:
            return result
        return replace(result, error=self._presentable(result.error, False)[0])

    def _presentable(self, text: str, keep_tail: bool) -> tuple[str, bool]:
        clean = neutralise(self.redactor.text(text))
        return cap(clean, self.max_output, TAIL_HEAVY_SHARE if keep_tail else HEAD_SHARE)


def _timed(attempt: Attempt, result: ToolResult) -> ToolCall:
    return ToolCall(
        operation=result.operation,
        began_ns=attempt.began_ns,
        ended_ns=attempt.began_ns + round(attempt.seconds * 1e9),
        success=result.ok,
        denied=result.denied,
    )


def _wire_names(operations: Iterable[Operation[Any]]) -> list[str]:
    return [operation.wire_name for operation in operations]


def _explain(error: ValidationError) -> str:
    """Return which arguments are wrong and how, without pydantic's own words around it."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(map(str, p['loc'])) or 'arguments'}: {p['msg']}" for p in problems[:5]]
    return "wrong arguments: " + "; ".join(lines)
