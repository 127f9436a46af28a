"""Every payload on NATS, by its subject: what `docs/schemas` is made from."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from agenttask_api.commands import CommandReply, DeadLetter, ExecuteCommand, TaskCommand
from agenttask_api.contextrecord import ContextRecord, ContextUpdated
from agenttask_api.events import ResponseEvent
from agenttask_api.logs import LogLine, LogsAnswer, LogsRequest
from agenttask_api.result import AgentResult

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class PayloadKind:
    """One kind of payload."""

    name: str
    """Of the schema's file, without `.json`."""
    subject: str
    model: type[BaseModel]
    ours: bool = True
    """Whether we write it; else others do and we read it."""

    def json_schema(self) -> dict[str, Any]:
        """Return its JSON Schema: of what we write, every field is always there."""
        schema = (
            self.model.model_json_schema(by_alias=False, mode="serialization")
            if self.ours
            else self.model.model_json_schema(mode="validation")
        )
        return {"$schema": DIALECT, "$id": f"{self.name}.json", **schema}


PAYLOADS: tuple[PayloadKind, ...] = (
    PayloadKind("agent.results", "agent.results.<task_id>", AgentResult),
    PayloadKind(
        "agent.response",
        "agent.response.{started,progress,completed,failed}.<task_id>",
        ResponseEvent,
    ),
    PayloadKind("agent.cmd.execute", "agent.cmd.execute[.<tenant>]", ExecuteCommand, ours=False),
    PayloadKind("agent.cmd.stop", "agent.cmd.stop[.<tenant>]", TaskCommand, ours=False),
    PayloadKind("agent.cmd.report", "agent.cmd.report[.<tenant>]", TaskCommand, ours=False),
    PayloadKind("agent.cmd.reply", "the inbox in reply_to", CommandReply),
    PayloadKind("agent.deadletter", "agent.deadletter", DeadLetter),
    PayloadKind("context.updated", "context.updated.<task_id>", ContextUpdated),
    PayloadKind("agent-context", "KV agent-context, <cluster>.<task_id>", ContextRecord),
    PayloadKind("workspace.logs", "workspace.logs.<task_id>", LogLine),
    PayloadKind("workspace.logs.ask", "workspace.logs.<task_id>.ask", LogsRequest, ours=False),
    PayloadKind("workspace.logs.answer", "the request's inbox", LogsAnswer),
)
