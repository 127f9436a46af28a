"""The http family: requests to hosts that the platform and the task have listed.

What may be asked is decided in `http_policy`, how it travels in `http_client`. Here
a call's arguments become a request and its answer becomes text.
"""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from agenttask_agent.tools import validators
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.hidden import HIDDEN, is_secret_name
from agenttask_agent.tools.http_exchange import Http, Received, Sent
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import Denied, ToolError


def _bounded(pairs: dict[str, Any]) -> dict[str, Any]:
    validators.mapping(pairs, 64, 128, 1_000_000)
    return pairs


Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
OURS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer",
     "expect", "keep-alive", "accept-encoding", "http2-settings", "forwarded",
     "x-http-method", "x-http-method-override", "x-method-override")
)  # fmt: skip
"""What says how the request travels; the last three would make a GET change something."""
OUR_PREFIXES = ("proxy-", "x-forwarded-", "sec-")
MAX_HEADER_LINES = 40
PRINTED = ("content-type", "content-length", "location", "retry-after", "etag", "last-modified")

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|")
Text = Annotated[str, StringConstraints(max_length=4096)]
Pairs = Annotated[dict[str, Text], AfterValidator(_bounded)]
Document = Annotated[
    dict[str, JsonValue],
    AfterValidator(_bounded),
    WithJsonSchema({"type": "object", "additionalProperties": True}),
]


class Get(Params):
    """Arguments of http.get and http.head."""

    url: Annotated[
        str, Field(min_length=8, max_length=2048, description="http:// or https:// URL.")
    ]
    headers: Pairs = {}
    params: Annotated[Pairs, Field(description="Query, added to the URL.")] = {}


class Send(Get):
    """Arguments of the operations that may have a body."""

    content: Annotated[
        Document | None,
        Field(alias="json", description="Object sent as JSON; not with data."),
    ] = None
    data: Annotated[str | None, Field(max_length=1_000_000, description="Body, sent as it is.")] = (
        None
    )

    @field_validator("data")
    @classmethod
    def one_body(cls, data: str | None, info: ValidationInfo) -> str | None:
        if data is not None and info.data.get("content") is not None:
            raise ValueError("json and data exclude each other")
        return data


class Request(Send):
    """Arguments of http.request."""

    method: Method


def _handler(method: str) -> Callable[[ToolContext, Any], Answer]:
    def handle(context: ToolContext, params: Get) -> Answer:
        return perform(context, method, params)

    return handle


def request(context: ToolContext, params: Request) -> Answer:
    return perform(context, params.method, params)


def perform(context: ToolContext, method: str, params: Get) -> Answer:
    """Send the request and return the answer as text."""
    client = _client(context)
    headers = _checked_headers(params.headers)
    body, content_type = _body(params) if isinstance(params, Send) else (None, "")
    if content_type and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = content_type
    sent = Sent(method, _with_query(params.url, params.params), headers, body)
    return _answer(client.send(sent, context.timeout(client.limits.seconds)))


def _client(context: ToolContext) -> Http:
    if context.http is None:
        raise ToolError("http is not available in this run")
    return context.http


def _checked_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise ToolError(f"the header {name[:64]!r} holds characters that headers cannot have")
        if name.lower() in OURS or name.lower().startswith(OUR_PREFIXES):
            raise Denied(f"the header {name!r} is not the caller's to set")
    if len({name.lower() for name in headers}) < len(headers):
        raise ToolError("a header is there twice")
    return dict(headers)


def _body(params: Send) -> tuple[bytes | None, str]:
    try:
        if params.data is not None:
            return params.data.encode(), "text/plain; charset=utf-8"
        if params.content is None:
            return None, ""
        return json.dumps(params.content, allow_nan=False).encode(), "application/json"
    except (ValueError, RecursionError):
        raise ToolError("the body cannot be sent as text") from None


def _with_query(url: str, params: dict[str, str]) -> str:
    if not params:
        return url
    bare = url.partition("#")[0]
    try:
        return f"{bare}{'&' if '?' in bare else '?'}{urlencode(params)}"
    except UnicodeEncodeError:
        raise ToolError("params hold characters that cannot be sent") from None


def _answer(received: Received) -> Answer:
    bad = received.status >= 400
    return Answer(
        output=f"HTTP {received.status}\n{_printed_headers(received)}\n\n{_text(received)}",
        metadata={
            "status": received.status,
            "content_type": received.header("content-type")[:100],
            "bytes": len(received.body),
            "redirects": received.redirects,
        },
        error=f"the server answered {received.status}" if bad else None,
        truncated=received.truncated,
    )


def _printed_headers(received: Received) -> str:
    lines = [
        f"{name}: {HIDDEN if is_secret_name(name) else value[:500]}"
        for name, value in received.headers
        if name in PRINTED or name.startswith("x-") or is_secret_name(name)
    ]
    return "\n".join(lines[:MAX_HEADER_LINES])


def _text(received: Received) -> str:
    """Return the body as text; of binary content only what it is."""
    body = received.body
    if b"\0" in body[:8192]:
        digest = hashlib.sha256(body).hexdigest()
        return f"(binary content: {len(body)} bytes, sha256 {digest})"
    return body.decode("utf-8", "replace")


def _op(
    name: str, params: type[Params], description: str, *, read_only: bool = False
) -> Operation[Any]:
    return Operation(
        "http", name, params, _handler(name.upper()), description, read_only, joins=read_only
    )


OPERATIONS: tuple[Operation[Any], ...] = (
    _op("get", Get, "Fetch a URL of an allowed host.", read_only=True),
    _op("head", Get, "Fetch a URL's headers.", read_only=True),
    _op("post", Send, "Send a POST request; redirects are not followed."),
    _op("put", Send, "Send a PUT request; redirects are not followed."),
    _op("patch", Send, "Send a PATCH request; redirects are not followed."),
    _op("delete", Send, "Send a DELETE request; redirects are not followed."),
    Operation("http", "request", Request, request, "Send a request with any of the methods."),
)
