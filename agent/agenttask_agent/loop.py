"""The loop: ask the model, run the tools it calls, show it the real results.

It knows two ports, `Model` and `Toolbox`, and a `Recorder` that writes down what
happens; which model, which tools and where the records go is decided in `run`.
It never claims success: it says why it ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agenttask_agent import finish, messages, prompts
from agenttask_agent.finish import Finishing
from agenttask_agent.guard import NUDGE_AT, STOP_AT, LoopGuard
from agenttask_agent.limits import Budget
from agenttask_agent.messages import Message, Reply, ToolCall
from agenttask_agent.outcome import Outcome, Stop
from agenttask_agent.results import ToolResult
from agenttask_api.reasons import Reason

MAX_MISUNDERSTANDINGS = 3


class Model(Protocol):
    """Answers a conversation; raises Stop when it cannot be asked any further."""

    def reply(
        self, conversation: Sequence[Message], tools: Sequence[Message], *, required: bool
    ) -> Reply:
        """Return the next reply; `required` demands a tool call."""
        ...


class Toolbox(Protocol):
    """The operations this run may use."""

    def schemas(self) -> list[Message]:
        """Return the tools as the model's API wants them."""
        ...

    def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        """Execute one operation; a failure is a result, never an exception."""
        ...

    def review(self) -> str:
        """Return what has changed since the start, measured, not remembered."""
        ...


class Recorder(Protocol):
    """Writes down what happens; it must never fail the run."""

    def message(self, message: Message, reply: Reply | None = None) -> None:
        """Keep one message of the conversation, with the reply it was made from."""
        ...

    def thought(
        self, iteration: int, type_: str, content: str, operations: tuple[int, ...] = ()
    ) -> None:
        """Keep one entry of the reasoning log."""
        ...


@dataclass
class Loop:
    """One run. `run()` may be called once."""

    model: Model
    toolbox: Toolbox
    recorder: Recorder
    budget: Budget
    requirements: int = 0
    """How many the task has; finish asks of each whether it is met."""
    conversation: list[Message] = field(default_factory=list)
    guard: LoopGuard = field(default_factory=LoopGuard)
    finishing: Finishing = field(default_factory=Finishing)
    silent: int = 0
    """Replies in a row without a tool call."""
    garbled: int = 0
    """Tool calls in a row that could not be read."""

    def run(self, opening: Sequence[Message]) -> Outcome:
        """Work until the model has finished or a limit is reached."""
        self._say(*opening)
        try:
            return self._turns()
        except Stop as stop:
            self._think("error", f"{stop.outcome.reason}: {stop.outcome.message}")
            return stop.outcome

    def _turns(self) -> Outcome:
        tools = [*self.toolbox.schemas(), finish.schema(self.requirements)]
        while True:
            self.budget.before_reply()
            reply = self.model.reply(self.conversation, tools, required=self.silent >= 2)
            self.budget.count(reply)
            outcome = self._act_on(reply)
            if outcome:
                return outcome

    def _act_on(self, reply: Reply) -> Outcome | None:
        message = messages.assistant(reply)
        self.conversation.append(message)
        self.recorder.message(message, reply)
        self._think("analysis", reply.reasoning)
        self._think("analysis", reply.content)
        if not reply.calls:
            self._without_call(reply)
            return None
        self.silent = 0
        self._think("decision", "call " + ", ".join(call.name for call in reply.calls))
        return self._execute(reply.calls)

    def _without_call(self, reply: Reply) -> None:
        if reply.problem:
            self._garbled(reply.problem)
            self._say(messages.user(reply.problem))
            return
        self.silent += 1
        if self.silent >= MAX_MISUNDERSTANDINGS:
            raise Stop(Reason.MODEL_MISUNDERSTOOD, f"{self.silent} replies without a tool call")
        self._say(messages.user(prompts.text("nudge")))

    def _execute(self, calls: Sequence[ToolCall]) -> Outcome | None:
        for call in calls:
            if call.problem:
                self._garbled(call.problem)
                self._say(messages.tool(call, f"error: {call.problem}"))
                continue
            self.garbled = 0
            if call.name == finish.NAME:
                outcome = self._finish(call)
                if outcome:
                    return outcome
                continue
            self._say(messages.tool(call, self._operate(call)))
        return None

    def _operate(self, call: ToolCall) -> str:
        self.budget.before_operation()
        result = self.toolbox.call(call.name, call.arguments)
        self._think("action", f"{result.operation} {_state(result)}", (result.seq,))
        text = result.for_model()
        self._think("observation", text, (result.seq,))
        self.finishing.after(result)
        repeats = self.guard.observe(call, result)
        if repeats >= STOP_AT:
            raise Stop(
                Reason.LOOP_DETECTED, f"{result.operation} had the same result {repeats} times"
            )
        return text if repeats < NUDGE_AT else f"{text}\n\n{prompts.text('repeat')}"

    def _finish(self, call: ToolCall) -> Outcome | None:
        summary = finish.summary_of(call)
        if self.finishing.accepts(self.budget.replies):
            self._think("conclusion", summary or "finished")
            said, claims = "the model said it was done", finish.claims_of(call)
            return Outcome(Reason.COMPLETED, said, summary, claims=claims)
        review = self.toolbox.review()
        self._think("observation", f"review before finishing:\n{review}")
        self._say(messages.tool(call, prompts.fill("review", review=review)))
        return None

    def _garbled(self, problem: str) -> None:
        self.garbled += 1
        self._think("error", problem)
        if self.garbled >= MAX_MISUNDERSTANDINGS:
            raise Stop(
                Reason.MODEL_MISUNDERSTOOD, f"{self.garbled} unreadable tool calls: {problem}"
            )

    def _say(self, *new: Message) -> None:
        for message in new:
            self.conversation.append(message)
            self.recorder.message(message)

    def _think(self, type_: str, content: str, operations: tuple[int, ...] = ()) -> None:
        if content.strip():
            self.recorder.thought(self.budget.replies, type_, content, operations)


def _state(result: ToolResult) -> str:
    return "succeeded" if result.ok else "was denied" if result.denied else "failed"
