"""The db family: statements on the task's connections, by name only.

Nothing here knows an address or a credential: a call becomes a request, and whoever
holds the connections (`databases`) answers it. Rows are shown one JSON array a line.
"""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, ValidationError, WithJsonSchema

from agenttask_agent.tools import validators
from agenttask_agent.tools.context import ToolContext
from agenttask_agent.tools.operation import Answer, Operation, Params
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_api.databases import (
    MAX_PARAMS,
    MAX_SECONDS,
    MAX_STATEMENT_CHARACTERS,
    DatabaseAnswer,
    DatabaseError,
    Failure,
    Neo4jQuery,
    PostgresqlQuery,
    PostgresqlSchema,
    RedisCommand,
    Reply,
    Rows,
    Scalar,
)

Request = PostgresqlQuery | PostgresqlSchema | RedisCommand | Neo4jQuery


def _bounded(params: dict[str, Any]) -> dict[str, Any]:
    validators.mapping(params, MAX_PARAMS, 128, 1_000_000)
    return params


ConnectionName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        max_length=63,
        description="Name of one of this task's connections.",
    ),
]
Statement = Annotated[
    str,
    Field(min_length=1, max_length=MAX_STATEMENT_CHARACTERS, description="One statement."),
]
Values = Annotated[
    list[Scalar | list[Scalar]],
    Field(max_length=MAX_PARAMS, description="Values of $1, $2, ... in the statement."),
    WithJsonSchema({"type": "array", "maxItems": MAX_PARAMS, "items": {}}),
]
Named = Annotated[
    dict[str, JsonValue],
    AfterValidator(_bounded),
    Field(description="Values of $name in the statement."),
    WithJsonSchema({"type": "object", "additionalProperties": True}),
]
Words = Annotated[
    list[Annotated[str, Field(max_length=MAX_STATEMENT_CHARACTERS)]],
    Field(min_length=1, max_length=1000, description='One word each, like ["GET", "key"].'),
]


class Query(Params):
    """Arguments of db.postgresql_query."""

    connection: ConnectionName
    query: Statement
    params: Values = []


class Schema(Params):
    """Arguments of db.postgresql_schema."""

    connection: ConnectionName
    schema_name: Annotated[str, Field(alias="schema", min_length=1, max_length=63)] = "public"


class Command(Params):
    """Arguments of db.redis_command."""

    connection: ConnectionName
    command: Words


class Cypher(Params):
    """Arguments of db.neo4j_query."""

    connection: ConnectionName
    query: Statement
    params: Named = {}


def postgresql_query(context: ToolContext, params: Query) -> Answer:
    fields = {"query": params.query, "params": params.params, "seconds": _seconds(context)}
    return _ask(context, params.connection, PostgresqlQuery, fields)


def postgresql_schema(context: ToolContext, params: Schema) -> Answer:
    fields = {"schema_name": params.schema_name, "seconds": _seconds(context)}
    return _ask(context, params.connection, PostgresqlSchema, fields)


def redis_command(context: ToolContext, params: Command) -> Answer:
    fields = {"command": params.command, "seconds": _seconds(context)}
    return _ask(context, params.connection, RedisCommand, fields)


def neo4j_query(context: ToolContext, params: Cypher) -> Answer:
    fields = {"query": params.query, "params": params.params, "seconds": _seconds(context)}
    return _ask(context, params.connection, Neo4jQuery, fields)


def _seconds(context: ToolContext) -> float:
    return context.timeout(MAX_SECONDS)


def _ask(context: ToolContext, name: str, kind: type[Request], fields: dict[str, object]) -> Answer:
    if context.databases is None:
        raise Denied("this task has no connections to databases")
    try:
        return _shown(context.databases.execute(name, kind.model_validate(fields)))
    except DatabaseError as error:
        denied = error.failure in (Failure.DENIED, Failure.UNKNOWN_CONNECTION)
        raise (Denied if denied else ToolError)(f"{error.failure}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ToolError(f"wrong arguments: {first['msg']}") from None


def _shown(answer: DatabaseAnswer) -> Answer:
    if isinstance(answer, Reply):
        return Answer(_json(answer.value), truncated=answer.truncated)
    lines = [_json(answer.columns)] if answer.columns else []
    lines += [_json(row) for row in answer.rows]
    return Answer("\n".join([*lines, _count(answer)]), _facts(answer), truncated=answer.truncated)


def _count(answer: Rows) -> str:
    if not answer.columns and answer.affected is not None:
        return f"({answer.affected} rows affected)"
    return f"({len(answer.rows)} rows{', cut' if answer.truncated else ''})"


def _facts(answer: Rows) -> dict[str, object]:
    affected = {} if answer.affected is None else {"affected": answer.affected}
    return {"rows": len(answer.rows), **affected}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


OPERATIONS: tuple[Operation[Any], ...] = (
    Operation(
        "db",
        "postgresql_query",
        Query,
        postgresql_query,
        "Execute one SQL statement; at most 1000 rows come back.",
    ),
    Operation(
        "db",
        "postgresql_schema",
        Schema,
        postgresql_schema,
        "Show the tables, columns and constraints of a PostgreSQL schema.",
        read_only=True,
    ),
    Operation("db", "redis_command", Command, redis_command, "Execute one Redis command."),
    Operation(
        "db",
        "neo4j_query",
        Cypher,
        neo4j_query,
        "Execute one Cypher statement; at most 1000 records come back.",
    ),
)
