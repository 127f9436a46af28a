"""The only way to an operation: look up, check, execute, clean, audit.

Dispatch is the catalogue and nothing else. Whatever happens inside an operation,
the answer is a result, and every attempt leaves exactly one audit entry.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
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

MAX_OUTPUT_CHARACTERS = 24_000
HEAD_SHARE, TAIL_HEAVY_SHARE = 0.6, 0.25
MAX_NAME = 100


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

    def schemas(self) -> list[dict[str, object]]:
        """Return the allowed operations, and only those, for the model."""
        return [tool_schema(operation) for operation in self.policy.allowed(self.catalogue)]

    def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        """Execute one operation by wire or dotted name; never raises for what it is given."""
        started = self.clock()
        operation = self._find(name)
        key = operation.key if operation else neutralise(self.redactor.text(name))[:MAX_NAME]
        result = ToolResult(False, key, error="interrupted")
        try:
            result = self._attempt(operation, key, arguments)
        finally:
            result = replace(self._clean(result), seq=self.audit.next_seq())
            shown = audited(operation, arguments) if operation else arguments
            self.audit.record(result, shown, self.clock() - started)
        self.review_of.saw(result)
        return result

    def review(self) -> str:
        """Return what has changed since the start, and what the last tests said."""
        return self._presentable(self.review_of.text(), False)[0]

    def _find(self, name: str) -> Operation[Any] | None:
        return next((o for o in self.catalogue if name in (o.wire_name, o.key)), None)

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


def _wire_names(operations: Iterable[Operation[Any]]) -> list[str]:
    return [operation.wire_name for operation in operations]


def _explain(error: ValidationError) -> str:
    """Return which arguments are wrong and how, without pydantic's own words around it."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(map(str, p['loc'])) or 'arguments'}: {p['msg']}" for p in problems[:5]]
    return "wrong arguments: " + "; ".join(lines)
