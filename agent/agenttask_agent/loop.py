"""The loop: ask the model, run the tools it calls, show it the real results.

It knows two ports, `Model` and `Toolbox`, and a `Recorder` that writes down what
happens; which model, which tools and where the records go is decided in `run`.
It never claims success: it says why it ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agenttask_agent import finish, messages, prompts
from agenttask_agent.batches import batches
from agenttask_agent.compaction import Compaction, StateCard
from agenttask_agent.finish import Finishing
from agenttask_agent.frame import Frame
from agenttask_agent.guard import LoopGuard, Verdict
from agenttask_agent.limits import Budget
from agenttask_agent.messages import Message, Reply, ToolCall
from agenttask_agent.outcome import ContextOverflow, Outcome, Stop
from agenttask_agent.ports import Model, Recorder, Toolbox
from agenttask_agent.results import ToolResult
from agenttask_api.reasons import Reason

MAX_MISUNDERSTANDINGS = 3


@dataclass
class Loop:
    """One run. `run()` may be called once."""

    model: Model
    toolbox: Toolbox
    recorder: Recorder
    budget: Budget
    requirements: int = 0
    """How many the task has; finish asks of each whether it is met."""
    frame: Frame = field(default_factory=Frame)
    """Stands around all that is not the harness's own word."""
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
        card = self.card.text(self.toolbox.review(), self.frame)
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
        for batch in batches(calls, self._may_join):
            if len(batch) > 1:
                self._read(batch)
                continue
            call = batch[0]
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

    def _may_join(self, call: ToolCall) -> bool:
        return not call.problem and self.toolbox.joins(call.name)

    def _read(self, batch: Sequence[ToolCall]) -> None:
        """Execute calls that only read at the same time, as far as the limits go."""
        self.garbled = 0
        admitted: list[tuple[ToolCall, str]] = []
        ended: Stop | None = None
        for call in batch:
            try:
                admitted.append((call, self._admit(call)))
            except Stop as stop:
                ended = stop
                break
        asked = [(call.name, call.arguments) for call, advice in admitted if not advice]
        results = iter(self.toolbox.call_together(asked))
        for call, advice in admitted:
            text = advice or self._observe(call, next(results))
            self._say(messages.tool(call, text))
        if ended:
            raise ended

    def _operate(self, call: ToolCall) -> tuple[bool, str]:
        advice = self._admit(call)
        if advice:
            return False, advice
        result = self.toolbox.call(call.name, call.arguments)
        return result.ok, self._observe(call, result)

    def _admit(self, call: ToolCall) -> str:
        """Count a call; with advice instead it must not be executed. Raises Stop."""
        verdict = self.guard.before(call)
        self._stop_at(verdict)
        if verdict.advice:
            return prompts.text(verdict.advice)
        self.budget.before_operation()
        return ""

    def _observe(self, call: ToolCall, result: ToolResult) -> str:
        """Return what the model is told of a result; raises Stop when it goes in circles."""
        self._think("action", f"{result.operation} {_state(result)}", (result.seq,))
        self._think("observation", result.for_model(), (result.seq,))
        text = result.for_model(self.frame.around)
        self.finishing.after(result)
        self.card.saw(call, result)
        verdict = self.guard.after(call, result)
        self._stop_at(verdict)
        return f"{text}\n\n{prompts.text(verdict.advice)}" if verdict.advice else text

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
        self._say(messages.tool(call, prompts.fill("review", review=self.frame.around(review))))
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
