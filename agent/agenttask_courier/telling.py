"""What a run says of itself while it goes on: in its digest, events, log lines and spans.

Whoever runs it says what happens; who is told, and in which words, is known here alone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agenttask_api import events
from agenttask_api.cancellation import end
from agenttask_api.digest import Digest
from agenttask_api.door import LOG, TOOL, DoorEvent
from agenttask_api.reasons import Reason
from agenttask_api.status import Usage
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.begun import Begun, write_mark
from agenttask_courier.decision import Step
from agenttask_courier.door import MAX_EVENTS_PER_SECOND, Pace
from agenttask_courier.embedding import Embedding
from agenttask_courier.journal import log, now
from agenttask_courier.lastwords import LastWords
from agenttask_courier.loglines import LogLines, told
from agenttask_courier.logservice import LogService
from agenttask_courier.places import Places
from agenttask_courier.publish import Publisher
from agenttask_courier.redaction import make_redaction
from agenttask_courier.settings import Settings
from agenttask_courier.toolspans import ToolSpans
from agenttask_courier.tracing import Span, Spans

_STEP_REASONS = {
    Step.VERIFY: Reason.VERIFYING,
    Step.PUSH: Reason.PUBLISHING,
    Step.REBASE: Reason.PUBLISHING,
    Step.KEEP: Reason.PUBLISHING,
}


class Telling:
    """One run's ways to say something."""

    def __init__(
        self,
        places: Places,
        settings: Settings,
        document: TaskDocument,
        base: str,
        around: Embedding,
        spans: Spans,
    ) -> None:
        """Begin with the digest of a run that starts from the commit `base`."""
        self._places, self._around, self._spans = places, around, spans
        self._online = bool(settings.nats_url)
        first = Digest(run_key=document.identity.run_key, reason=Reason.PREPARING, base=base)
        self.words = LastWords(places.termination_log, first)
        self.publisher = Publisher(settings, document, places)
        key = (around.model_key,) if around.model_key else ()
        self._redaction = make_redaction(places, document, key)
        lines = LogLines(document.identity, settings.index, self._redaction)
        self.log_service = LogService(self.publisher, lines)
        self.pace = Pace(MAX_EVENTS_PER_SECOND)
        self._step = Span()
        self._tools = ToolSpans(spans, document.constraints.max_operations)

    @asynccontextmanager
    async def published(self) -> AsyncIterator[None]:
        """Send events and answer for log lines while the block runs."""
        if self._online:
            self.publisher.start()
        answering = asyncio.create_task(self.log_service.run())
        try:
            yield
        finally:
            await end(answering)
            await self.publisher.close()

    @property
    def dropped(self) -> int:
        """Events that were too many, here or for NATS."""
        return self.pace.dropped + self.publisher.dropped

    def say(self, **fields: Any) -> None:
        """Write the digest with these fields changed."""
        self.words.say(**fields)

    def begun(self) -> None:
        """Say that the agent runs."""
        self.words.say(reason=Reason.RUNNING, started=now())
        self.publisher.event(events.STARTED, Reason.RUNNING)

    def event(self, event: DoorEvent) -> None:
        """Pass on what the agent says, its secrets masked."""
        if event.type == TOOL:
            self._tools.tell(event)
            return
        self._around.on_event(event)
        self.log_service.tell(*told(event))
        if event.type == LOG:
            return
        data = self._redaction.values({**event.data, "type": event.type})
        message = self._redaction.text(event.message)
        self.publisher.event(events.PROGRESS, str(event.step), message, data)

    def usage(self, usage: Usage) -> None:
        """Say what the model has cost so far."""
        self._around.on_usage(usage)
        self.words.say(
            calls=usage.model_calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )

    def step(self, step: Step) -> None:
        """Say what the courier itself does now; the step before has ended."""
        log("judge.step", step=step)
        self.log_service.tell(str(step), "info", f"the courier begins: {step}")
        self.steps_ended()
        self._step = self._spans.begin(f"agenttask.{step}")
        self._around.on_step(step)
        if reason := _STEP_REASONS.get(step):
            self.words.say(reason=reason)
            self.publisher.event(events.PROGRESS, reason)

    def steps_ended(self) -> None:
        """End the span of the step under way, if there is one."""
        self._step.end()

    def push(self, begun: Begun | None) -> None:
        """Say which push is under way, also to a courier that comes after us; None = none."""
        write_mark(self._places.push_mark, begun)
        if begun:
            self.words.say(pushing=begun.branch, commit=begun.commit)
        else:
            self.words.say(pushing="")
