"""What goes to a database and what comes back, the same through the door and in process.

A request names neither server nor credential: whoever executes it holds the
connection. Every size is bounded here, so that both sides cut at the same place.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter

from agenttask_api.schema import APIModel, OpenAPIModel
from agenttask_api.vocabulary import ConnectionKind

MAX_ROWS = 1000
"""Rows, records or elements of a reply; one more is asked for to know of the cut."""
MAX_ANSWER_BYTES = 1024 * 1024
MAX_FIELD_BYTES = 64 * 1024
"""A longer value is cut, and says so in its place."""
MAX_DEPTH = 8
"""Lists in lists; what lies deeper is shown as text."""
MAX_REQUEST_BYTES = 512 * 1024
MAX_STATEMENT_CHARACTERS = 100_000
MAX_PARAMS = 100
MAX_SECONDS = 30.0
"""What the server is told as its statement timeout; less may be asked for."""

Statement = Annotated[str, Field(min_length=1, max_length=MAX_STATEMENT_CHARACTERS)]
Scalar = bool | int | float | str | None
Seconds = Annotated[float, Field(ge=0.1, le=MAX_SECONDS)]
Word = Annotated[str, Field(max_length=MAX_STATEMENT_CHARACTERS)]


class PostgresqlQuery(APIModel):
    """One SQL statement; `params` take the places $1, $2, ..."""

    kind: Literal["postgresql_query"] = "postgresql_query"
    query: Statement
    params: Annotated[tuple[Scalar | list[Scalar], ...], Field(max_length=MAX_PARAMS)] = ()
    seconds: Seconds = MAX_SECONDS


class PostgresqlSchema(APIModel):
    """The tables, columns and keys of one schema."""

    kind: Literal["postgresql_schema"] = "postgresql_schema"
    schema_name: Annotated[str, Field(min_length=1, max_length=63)] = "public"
    seconds: Seconds = MAX_SECONDS


class RedisCommand(APIModel):
    """One command, a word per element."""

    kind: Literal["redis_command"] = "redis_command"
    command: Annotated[tuple[Word, ...], Field(min_length=1, max_length=1000)]
    seconds: Seconds = MAX_SECONDS


class Neo4jQuery(APIModel):
    """One Cypher statement; `params` are its $names."""

    kind: Literal["neo4j_query"] = "neo4j_query"
    query: Statement
    params: Annotated[dict[str, JsonValue], Field(max_length=MAX_PARAMS)] = {}
    seconds: Seconds = MAX_SECONDS


DatabaseRequest = Annotated[
    PostgresqlQuery | PostgresqlSchema | RedisCommand | Neo4jQuery, Field(discriminator="kind")
]

SPEAKS: dict[type[APIModel], ConnectionKind] = {
    PostgresqlQuery: ConnectionKind.POSTGRESQL,
    PostgresqlSchema: ConnectionKind.POSTGRESQL,
    RedisCommand: ConnectionKind.REDIS,
    Neo4jQuery: ConnectionKind.NEO4J,
}
"""The kind of connection that each request needs."""


class Rows(OpenAPIModel):
    """What PostgreSQL and Neo4j answer."""

    kind: Literal["rows"] = "rows"
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[JsonValue, ...], ...] = ()
    affected: int | None = None
    """Rows that the statement changed; None where the server does not say."""
    truncated: bool = False
    """Rows are missing or values were cut."""


class Reply(OpenAPIModel):
    """What Redis answers."""

    kind: Literal["reply"] = "reply"
    value: JsonValue = None
    truncated: bool = False


DatabaseAnswer = Annotated[Rows | Reply, Field(discriminator="kind")]

LATER = ConfigDict(defer_build=True)
REQUEST: TypeAdapter[DatabaseRequest] = TypeAdapter(DatabaseRequest, config=LATER)
ANSWER: TypeAdapter[DatabaseAnswer] = TypeAdapter(DatabaseAnswer, config=LATER)


class Failure(StrEnum):
    """Why there is no answer, as the `type` of the door's error."""

    UNKNOWN_CONNECTION = "unknown_connection"
    WRONG_KIND = "wrong_kind"
    DENIED = "database_denied"
    """Refused by us or by the server because it is not allowed."""
    STATEMENT = "statement_failed"
    """The server did not accept the statement; the message is the server's."""
    TOO_LARGE = "answer_too_large"
    TIMEOUT = "statement_timeout"
    UNAVAILABLE = "database_unavailable"
    """No connection, or it was lost; whether a write happened is then unknown."""
    MISCONFIGURED = "connection_misconfigured"


class DatabaseError(Exception):
    """A request without an answer. The text is masked and safe to show to a model."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure
