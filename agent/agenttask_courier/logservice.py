"""Answers who asks for a run's log lines on NATS, and sends further ones while asked to.

Nothing here is waited for or stored: a line that nobody asks for costs no message, and one
that cannot be sent at once is dropped.
"""

import asyncio
import contextlib
import re
from dataclasses import dataclass, field

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from agenttask_api.logs import LogLine, LogsAnswer, LogsRequest, ask_subject, logs_subject
from agenttask_api.payload import REPLY_PATTERN
from agenttask_courier.loglines import LogLines
from agenttask_courier.publish import Publisher

MAX_WAITING_LINES = 1000
MAX_ANSWER_BYTES = 900 * 1024
"""Below NATS's default max_payload of 1 MiB."""
_REPLY = re.compile(REPLY_PATTERN)


@dataclass
class LogService:
    """The log lines of one run on NATS."""

    publisher: Publisher
    lines: LogLines
    _asked_until: float = 0.0
    """On the event loop's clock."""
    _waiting: "asyncio.Queue[LogLine]" = field(
        default_factory=lambda: asyncio.Queue(MAX_WAITING_LINES)
    )

    def tell(self, step: str, level: str, text: str) -> None:
        """Keep a text; send its lines if somebody asks for them."""
        made = self.lines.take(step, level, text)
        if asyncio.get_running_loop().time() >= self._asked_until:
            return
        for line in made:
            with contextlib.suppress(asyncio.QueueFull):
                self._waiting.put_nowait(line)

    async def run(self) -> None:
        """Serve until cancelled."""
        client = await self.publisher.connection()
        task_id = self.lines.identity.task_id
        await client.subscribe(ask_subject(task_id), cb=self._answer)
        while True:
            line = await self._waiting.get()
            if client.is_connected:
                with contextlib.suppress(NatsError, OSError):
                    await client.publish(logs_subject(task_id), line.model_dump_json().encode())

    async def _answer(self, message: Msg) -> None:
        """Answer in an inbox and nowhere else: the courier may publish where others may not."""
        answer = self._answer_to(message.data)
        if message.reply and _REPLY.fullmatch(message.reply):
            with contextlib.suppress(NatsError, OSError):
                await message.respond(answer.model_dump_json().encode())

    def _answer_to(self, payload: bytes) -> LogsAnswer:
        task_id = self.lines.identity.task_id
        try:
            request = LogsRequest.model_validate_json(payload or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "message"
            return LogsAnswer(task_id=task_id, error=f"{where}: {first['msg']}")
        until = asyncio.get_running_loop().time() + request.follow_seconds
        self._asked_until = max(self._asked_until, until)
        return _cut(
            LogsAnswer(
                task_id=task_id,
                lines=self.lines.newest(request.lines),
                following_seconds=request.follow_seconds,
            )
        )


def _cut(answer: LogsAnswer) -> LogsAnswer:
    """Leave out the oldest lines of what NATS would not carry."""
    while len(answer.model_dump_json().encode()) > MAX_ANSWER_BYTES:
        half = answer.lines[len(answer.lines) // 2 :]
        answer = answer.model_copy(update={"lines": half})
    return answer
