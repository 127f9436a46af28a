"""Every request that the door knows, once: the router and the published schema follow from it.

`openapi` is what `GET /openapi.json` answers, what lies in docs/schemas, and what the
door is fuzzed with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, TypeAdapter

from agenttask_api.databases import ANSWER, MAX_REQUEST_BYTES, REQUEST
from agenttask_api.door import (
    MAX_BUNDLE_BYTES,
    MAX_EVENT_BYTES,
    MAX_MODEL_REQUEST_BYTES,
    DoorEvent,
    Receipt,
)
from agenttask_api.result import MAX_REPORT_BYTES, AgentReport
from agenttask_courier.gate import CHAT_REQUEST

Schema = dict[str, Any]
Kind = type[BaseModel] | TypeAdapter[Any] | Mapping[str, Any] | None

ARTIFACT_NAME = "[A-Za-z0-9._-]{1,100}"
CONNECTION_NAME = "[a-z0-9-]{1,63}"
_REFS = "#/components/schemas/{model}"
_OBJECT: Schema = {"type": "object"}
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": "integer"},
            },
        }
    },
}


@dataclass(frozen=True)
class Route:
    """One request: how it is made, and what is answered when all is well."""

    method: str
    path: str
    handler: str
    """Name of the method of Door."""
    says: str
    body: Kind = None
    """What the JSON body is; None = there is none, or it is bytes."""
    limit: int = 0
    """Bytes of the body; 0 = there is none."""
    answers: Mapping[int, Kind] = field(default_factory=lambda: {200: _OBJECT})
    """By status; None = an empty body."""
    names: tuple[tuple[str, str], ...] = ()
    """Each variable part of the path, and its pattern."""
    upstream: bool = False
    """Somebody else's answer is passed on, so it may be any."""


MODEL_ROUTES = (
    Route(
        "POST",
        "/v1/chat/completions",
        "chat",
        "Ask the task's model; the answer is vLLM's.",
        CHAT_REQUEST,
        MAX_MODEL_REQUEST_BYTES,
        upstream=True,
    ),
    Route("GET", "/v1/models", "models", "The task's model alone.", upstream=True),
    Route(
        "POST",
        "/tokenize",
        "tokenize",
        "Count tokens; the answer is vLLM's.",
        _OBJECT,
        MAX_MODEL_REQUEST_BYTES,
        upstream=True,
    ),
)
ROUTES = (
    Route("GET", "/openapi.json", "openapi", "This schema."),
    *MODEL_ROUTES,
    Route(
        "POST",
        "/events",
        "event",
        "One line of progress; more than 50 a second are counted and dropped. Of the type `log` "
        "it is log lines instead, of which 20 a second pass; of the type `tool` it is a call of a "
        "tool for the trace alone.",
        DoorEvent,
        MAX_EVENT_BYTES,
        {202: None},
    ),
    Route(
        "PUT",
        "/artifacts/{name}",
        "artifact",
        "Keep a file, in place of an earlier one of that name; the limit is the task's.",
        limit=MAX_BUNDLE_BYTES,
        answers={201: None},
        names=(("name", ARTIFACT_NAME),),
    ),
    Route(
        "PUT",
        "/bundle",
        "bundle",
        "A git bundle of `<base>..HEAD`.",
        limit=MAX_BUNDLE_BYTES,
        answers={201: None},
    ),
    Route(
        "PUT",
        "/result",
        "result",
        "What the agent says of its run; once. The gate closes.",
        AgentReport,
        MAX_REPORT_BYTES,
        {202: None},
    ),
    Route(
        "GET", "/receipt", "get_receipt", "The outcome, once it is settled.", answers={200: Receipt}
    ),
    Route(
        "GET",
        "/lifeline",
        "lifeline",
        "Held for the agent's whole life; a line every 15 seconds.",
        answers={200: {"type": "string"}},
    ),
)
DATABASE_ROUTE = Route(
    "POST",
    "/db/{connection}",
    "database",
    "Ask one of the task's databases.",
    REQUEST,
    MAX_REQUEST_BYTES,
    {200: ANSWER},
    (("connection", CONNECTION_NAME),),
    upstream=True,
)


def openapi() -> Schema:
    """Return the door as an OpenAPI 3.1 document."""
    shared: Schema = {"Error": _ERROR}
    paths: Schema = {}
    for route in (*ROUTES, DATABASE_ROUTE):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, shared)
    return {
        "openapi": "3.1.0",
        "info": {"title": "The door of an AgentTask's pod", "version": "v1"},
        "paths": paths,
        "components": {"schemas": dict(sorted(shared.items()))},
    }


def _operation(route: Route, shared: Schema) -> Schema:
    answers = {str(status): _answer(kind, shared) for status, kind in route.answers.items()}
    errors = ["4XX", *(["5XX"] if route.upstream else ["507"] if route.limit else [])]
    answers |= {
        status: _answer({"$ref": "#/components/schemas/Error"}, shared) for status in errors
    }
    operation: Schema = {"summary": route.says, "responses": answers}
    if route.names:
        operation["parameters"] = [_parameter(n, p) for n, p in route.names]
    if route.limit:
        operation["requestBody"] = _body(route, shared)
    return operation


def _parameter(name: str, pattern: str) -> Schema:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _body(route: Route, shared: Schema) -> Schema:
    kind = "application/octet-stream" if route.body is None else "application/json"
    schema = {} if route.body is None else _schema(route.body, shared)
    says = f"At most {route.limit} bytes."
    return {"required": True, "description": says, "content": {kind: {"schema": schema}}}


def _answer(kind: Kind, shared: Schema) -> Schema:
    if kind is None:
        return {"description": "Taken."}
    plain = isinstance(kind, Mapping) and kind.get("type") == "string"
    content = "application/octet-stream" if plain else "application/json"
    return {"description": "", "content": {content: {"schema": _schema(kind, shared)}}}


def _schema(kind: Kind, shared: Schema) -> Schema:
    """Return a schema, its definitions put where all share them."""
    if kind is None or isinstance(kind, Mapping):
        return dict(kind or {})
    if isinstance(kind, TypeAdapter):
        found = kind.json_schema(by_alias=True, ref_template=_REFS)
    else:
        found = kind.model_json_schema(by_alias=True, ref_template=_REFS)
    shared |= found.pop("$defs", {})
    return found
