"""The loop: ask the model, run the tools it calls, show it the real results.

It knows two ports, `Model` and `Toolbox`, and a `Recorder` that writes down what
happens; which model, which tools and where the records go is decided in `run`.
It never claims success: it says why it ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agenttask_agent import finish, messages, prompts
from agenttask_agent.compaction import Compaction, StateCard
from agenttask_agent.finish import Finishing
from agenttask_agent.guard import LoopGuard, Verdict
from agenttask_agent.limits import Budget
from agenttask_agent.messages import Message, Reply, ToolCall
from agenttask_agent.outcome import ContextOverflow, Outcome, Stop
from agenttask_agent.results import ToolResult
from agenttask_api.reasons import Reason

MAX_MISUNDERSTANDINGS = 3


class Model(Protocol):
    """Answers a conversation; raises Stop when it cannot be asked any further."""

    def reply(
        self,
        conversation: Sequence[Message],
        tools: Sequence[Message],
        *,
        required: bool,
        variation: int = 0,
    ) -> Reply:
        """Return the next reply; `required` demands a tool call.

        Raises ContextOverflow when the conversation is too long. With a `variation`
        above 0 the model is asked in another way, so that it may answer otherwise.
        """
        ...


class Toolbox(Protocol):
    """The operations this run may use."""

    def schemas(self) -> list[Message]:
        """Return the tools as the model's API wants them."""
        ...

    def call(self, name: str, arguments: dict[str, object]) -> ToolResult:
        """Execute one operation; a failure is a result, never an exception."""
        ...

    def edits(self, name: str) -> bool:
        """Say whether an operation changes the files that are the work."""
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
        self,
        iteration: int,
        type_: str,
        content: str,
        operations: tuple[int, ...] = (),
        confidence: float | None = None,
    ) -> None:
        """Keep one entry of the reasoning log; `confidence` is the model's own, 0 to 1."""
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
    compaction: Compaction = field(default_factory=Compaction)
    card: StateCard = field(default_factory=StateCard)
    opening: int = 0
    """How many messages the run began with; they are never left out."""
    same: int = 0
    """Replies in a row that equal the one before them."""
    last: tuple[object, ...] = ()
    silent: int = 0
    """Replies in a row without a tool call."""
    garbled: int = 0
    """Tool calls in a row that could not be read."""

    def run(self, opening: Sequence[Message]) -> Outcome:
        """Work until the model has finished or a limit is reached."""
        self.opening = len(opening)
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
            reply = self._ask(tools)
            self.budget.count(reply)
            self._compare(reply)
            outcome = self._act_on(reply)
            if outcome:
                return outcome

    def _ask(self, tools: Sequence[Message]) -> Reply:
        """Return the next reply; a conversation that is too long is made short once."""
        if self.compaction.is_due(self.conversation):
            self._compact()
        try:
            return self._reply(tools)
        except ContextOverflow:
            if not self._compact():
                raise
            return self._reply(tools)

    def _reply(self, tools: Sequence[Message]) -> Reply:
        reply = self.model.reply(
            self.conversation, tools, required=self.silent >= 2, variation=self.same
        )
        tokens = reply.input_tokens + reply.output_tokens
        self.compaction.saw(tokens, len(self.conversation) + 1)  # with this reply
        return reply

    def _compact(self) -> bool:
        card = self.card.text(self.toolbox.review())
        short = self.compaction.compact(self.conversation, self.opening, card)
        if short is None:
            return False
        self._think("observation", f"the conversation was compacted:\n{card}")
        self.recorder.message(messages.user(card))
        self.conversation = short
        return True

    def _compare(self, reply: Reply) -> None:
        """Ask otherwise once a reply is the same again: at temperature 0 it always would be."""
        said = (reply.content, *((call.name, str(call.arguments)) for call in reply.calls))
        self.same = self.same + 1 if said == self.last else 0
        self.last = said

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
        spoilt = False
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
            edits = self.toolbox.edits(call.name)
            if spoilt and edits:
                self._say(messages.tool(call, prompts.text("cancelled")))
                continue
            ok, text = self._operate(call)
            spoilt = spoilt or (edits and not ok)
            self._say(messages.tool(call, text))
        return None

    def _operate(self, call: ToolCall) -> tuple[bool, str]:
        verdict = self.guard.before(call)
        self._stop_at(verdict)
        if verdict.advice:
            return False, prompts.text(verdict.advice)
        self.budget.before_operation()
        result = self.toolbox.call(call.name, call.arguments)
        self._think("action", f"{result.operation} {_state(result)}", (result.seq,))
        text = result.for_model()
        self._think("observation", text, (result.seq,))
        self.finishing.after(result)
        self.card.saw(call, result)
        verdict = self.guard.after(call, result)
        self._stop_at(verdict)
        return result.ok, f"{text}\n\n{prompts.text(verdict.advice)}" if verdict.advice else text

    def _stop_at(self, verdict: Verdict) -> None:
        if verdict.stop:
            raise Stop(Reason.LOOP_DETECTED, verdict.stop)

    def _finish(self, call: ToolCall) -> Outcome | None:
        summary = finish.summary_of(call)
        if self.finishing.accepts(self.budget.replies):
            self._think("conclusion", summary or "finished", (), finish.confidence_of(call))
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

    def _think(
        self,
        type_: str,
        content: str,
        operations: tuple[int, ...] = (),
        confidence: float | None = None,
    ) -> None:
        if content.strip():
            step = self.budget.replies
            self.recorder.thought(step, type_, content, operations, confidence)


def _state(result: ToolResult) -> str:
    return "succeeded" if result.ok else "was denied" if result.denied else "failed"
