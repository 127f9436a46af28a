"""Plan mode: one plan, checked against the catalogue, then executed in order.

A reply that is no plan is asked for again, a bounded number of times. What a failed
step does to the rest is the task's `onError`. A read-only run executes nothing: the
plan itself is its result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from agenttask_agent import messages, planning, prompts
from agenttask_agent.limits import Budget
from agenttask_agent.messages import Message, Reply
from agenttask_agent.models.parsing import CUT_OFF_PLAN, parse_reply
from agenttask_agent.outcome import ModelRefused, Outcome, Stop
from agenttask_agent.planning import BadPlan
from agenttask_agent.ports import Recorder, Toolbox
from agenttask_agent.results import ToolResult
from agenttask_api.reasons import Reason
from agenttask_api.result import Plan, PlanStep
from agenttask_api.spec import Constraints, OnError

MAX_ASKED = 3
MAX_TRIES = 3
"""Of one step under Retry."""
BAD_REQUEST = 400
WARMER = 0.4
"""Temperature of a question that is asked again: at 0 the same mistake comes back."""


class Client(Protocol):
    """A model that can be asked with a request of one's own."""

    def ask(self, request: Message) -> Message:
        """Return the body of a chat completion; raises Stop, ModelRefused for a 4xx."""
        ...


class PlanToolbox(Toolbox, Protocol):
    """A toolbox that can judge a step before it is executed."""

    def plannable(self) -> list[Message]:
        """Return the operations that a plan may name, also those that only a plan may."""
        ...

    def problem(self, name: str, arguments: dict[str, object]) -> str:
        """Return why these arguments are wrong, nothing when they are fine."""
        ...


@dataclass
class PlanWorker:
    """One run in Plan mode. `run()` may be called once."""

    model: Client
    toolbox: PlanToolbox
    recorder: Recorder
    budget: Budget
    constraints: Constraints
    structured: bool
    """Whether the server obeys a JSON schema."""
    plan: Plan | None = None
    conversation: list[Message] = field(default_factory=list)

    def run(self, opening: Sequence[Message]) -> Outcome:
        """Ask for a plan and execute it, or return it where nothing may be changed."""
        tools = self.toolbox.plannable()
        self._say(*opening, messages.user(prompts.fill("plan", operations=planning.listed(tools))))
        try:
            self.plan = self._planned(tools)
            self._think("decision", planning.as_text(self.plan))
            if self.constraints.read_only:
                return self._concluded(
                    "this is the plan; the run is read-only, so nothing was done"
                )
            return self._executed(self.plan.steps)
        except Stop as stop:
            self._think("error", f"{stop.outcome.reason}: {stop.outcome.message}")
            return replace(stop.outcome, plan=self.plan)

    def _planned(self, tools: Sequence[Message]) -> Plan:
        names = [planning.name_of(tool) for tool in tools]
        problem = ""
        for attempt in range(MAX_ASKED):
            reply = self._reply(tools, attempt)
            try:
                return self._checked(reply, names)
            except BadPlan as bad:
                problem = str(bad)
                self._think("error", problem)
                self._say(messages.user(prompts.fill("replan", problem=problem)))
        raise Stop(Reason.MODEL_MISUNDERSTOOD, f"no plan in {MAX_ASKED} replies: {problem}")

    def _reply(self, tools: Sequence[Message], attempt: int) -> Reply:
        self.budget.before_reply()
        reply = parse_reply(self._asked(tools, attempt), [])
        self.budget.count(reply)
        message = messages.assistant(reply)
        self.conversation.append(message)
        self.recorder.message(message, reply)
        self._think("analysis", reply.reasoning)
        return reply

    def _asked(self, tools: Sequence[Message], attempt: int) -> Message:
        request: Message = {"messages": list(self.conversation)}
        request |= {"seed": attempt, "temperature": WARMER} if attempt else {}
        if self.structured:
            try:
                return self.model.ask(request | _constrained(tools))
            except ModelRefused as refused:
                if refused.status != BAD_REQUEST:
                    raise
                self._think("error", f"the schema was refused, asking in text: {refused}")
                self.structured = False
        return self.model.ask(request)

    def _checked(self, reply: Reply, names: Sequence[str]) -> Plan:
        if reply.cut:
            raise BadPlan(CUT_OFF_PLAN)
        plan = planning.read_plan(reply.content, names)
        self._think("analysis", plan.reasoning)
        for number, step in enumerate(plan.steps, 1):
            problem = self.toolbox.problem(_wire_name(step), step.params)
            if problem:
                raise BadPlan(f"step {number}, {step.tool} {step.operation}: {problem}")
        return plan

    def _executed(self, steps: Sequence[PlanStep]) -> Outcome:
        failed = []
        for number, step in enumerate(steps, 1):
            result = self._step(step)
            if result.ok:
                continue
            failed.append(result)
            if self.constraints.on_error is not OnError.SKIP:
                raise Stop(Reason.TOOL_FAILED, _failure(number, len(steps), result))
        if failed and all(result.denied for result in failed) and len(failed) == len(steps):
            raise Stop(Reason.POLICY_DENIED, f"every step was refused: {failed[0].error}")
        if len(failed) == len(steps):
            raise Stop(Reason.TOOL_FAILED, f"no step of the plan succeeded: {failed[0].error}")
        done = f"{len(steps) - len(failed)} of {len(steps)} steps of the plan succeeded"
        return self._concluded(f"{done}; the others were skipped" if failed else done)

    def _step(self, step: PlanStep) -> ToolResult:
        """Execute one step, again under Retry; what was refused would be refused again."""
        tries = MAX_TRIES if self.constraints.on_error is OnError.RETRY else 1
        result = self._operate(step)
        for _ in range(tries - 1):
            if result.ok or result.denied:
                break
            result = self._operate(step)
        return result

    def _operate(self, step: PlanStep) -> ToolResult:
        self.budget.before_operation()
        result = self.toolbox.call(_wire_name(step), step.params)
        state = "succeeded" if result.ok else "was denied" if result.denied else "failed"
        self._think("action", f"{result.operation} {state}", (result.seq,))
        self._think("observation", result.for_model(), (result.seq,))
        return result

    def _concluded(self, message: str) -> Outcome:
        self._think("conclusion", message)
        plan = self.plan or Plan()
        return Outcome(Reason.COMPLETED, message, planning.as_text(plan), plan)

    def _say(self, *new: Message) -> None:
        for message in new:
            self.conversation.append(message)
            self.recorder.message(message)

    def _think(self, type_: str, content: str, operations: tuple[int, ...] = ()) -> None:
        if content.strip():
            self.recorder.thought(self.budget.replies, type_, content, operations)


def _constrained(tools: Sequence[Message]) -> Message:
    """Return what makes the server write a plan and nothing else; thinking would come before it."""
    schema = {"name": "plan", "schema": planning.plan_schema(tools), "strict": True}
    return {
        "response_format": {"type": "json_schema", "json_schema": schema},
        "chat_template_kwargs": {"enable_thinking": False},
    }


def _wire_name(step: PlanStep) -> str:
    return f"{step.tool}_{step.operation}"


def _failure(number: int, count: int, result: ToolResult) -> str:
    state = "was refused" if result.denied else "failed"
    said = result.error or f"exit code {result.exit_code}"
    return f"step {number} of {count}, {result.operation}, {state}: {said}"
