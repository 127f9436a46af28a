"""The four operations as a model calls them: result, audit, and no credential in either."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.agent.projects import make_repository
from tests.agent.toolboxes import Tools
from tests.databases.conftest import Ask, check_clean

from agenttask_agent.tools import db
from agenttask_agent.tools.schema import parameters_schema

pytestmark = pytest.mark.usefixtures("postgresql", "redis")


@pytest.fixture
def tools(ask: Ask, tmp_path: Path) -> Iterator[Tools]:
    root = make_repository(tmp_path / "repo")
    tools = Tools(root, tmp_path / "tmp", role="DATA")
    box = tools.toolbox
    box.catalogue = db.OPERATIONS
    box.context = replace(box.context, databases=ask.databases)
    yield tools
    check_clean(json.dumps(tools.audit.entries) + tools.audit.path.read_text(encoding="utf-8"))
    tools.close()


def test_query_answers_one_row_a_line(tools: Tools):
    query = "SELECT id, name FROM items WHERE id < $1 ORDER BY id"
    result = tools("db.postgresql_query", connection="pg", query=query, params=[3])
    assert result.ok
    assert result.output == '["id","name"]\n[1,"item 1"]\n[2,"item 2"]\n(2 rows)'
    assert result.metadata == {"rows": 2}


def test_write_says_how_many(tools: Tools):
    query = "UPDATE items SET name = name"
    result = tools("db.postgresql_query", connection="pg-rw", query=query)
    assert (result.output, result.metadata) == ("(3 rows affected)", {"rows": 0, "affected": 3})


def test_schema_and_redis_answer(tools: Tools):
    schema = tools("db.postgresql_schema", connection="pg", schema="public")
    assert '"items","table","id","integer"' in schema.output
    assert tools("db.redis_command", connection="cache", command=["EXISTS", "x"]).output == "0"


def test_cut_answer_says_so(tools: Tools):
    query = "SELECT n FROM generate_series(1, 2000) n"
    result = tools("db.postgresql_query", connection="pg", query=query)
    assert result.truncated
    assert result.output.endswith("(1000 rows, cut)")


@pytest.mark.parametrize(
    ("arguments", "denied", "words"),
    [
        ({"query": "DELETE FROM items"}, True, "database_denied: this connection is read-only"),
        ({"query": "SELECT x"}, False, 'statement_failed: column "x" does not exist'),
        ({"query": "SELECT 1", "connection": "other"}, True, "unknown_connection: .*there are: "),
        ({"query": "SELECT 1", "connection": "cache"}, False, "wrong_kind"),
        ({"query": "SELECT 1", "connection": "pg-wrong"}, False, "refuses the credentials"),
        ({"query": "SELECT 1", "connection": "postgresql://u:p@h/x"}, False, "wrong arguments"),
        ({"query": "SELECT 1", "read_only": False}, False, "wrong arguments"),
        ({"query": "SELECT 1", "timeout": 9999}, False, "wrong arguments"),
        ({"query": "SELECT \ud800"}, False, "Unicode|wrong arguments"),
        ({"query": ""}, False, "wrong arguments"),
        ({"query": "SELECT 1", "params": [{"a": 1}]}, False, "wrong arguments"),
    ],
)
def test_failure_is_a_result(tools: Tools, arguments: dict[str, Any], denied: bool, words: str):
    result = tools("db.postgresql_query", **{"connection": "pg", **arguments})
    assert (result.ok, result.denied) == (False, denied)
    assert re.search(words, result.error or ""), result.error
    check_clean(result.for_model())


def test_redis_and_schema_fail_as_results(tools: Tools):
    write = tools("db.redis_command", connection="cache", command=["SET", "x", "1"])
    assert (write.ok, write.denied) == (False, True)
    assert "database_denied" in str(write.error)
    wrong = tools("db.redis_command", connection="cache", command=["GET"])
    assert "statement_failed" in str(wrong.error)
    other = tools("db.postgresql_schema", connection="cache")
    assert "wrong_kind" in str(other.error)


def test_without_connections_the_family_is_denied(tools: Tools):
    box = tools.toolbox
    box.context = replace(box.context, databases=None)
    result = tools("db.redis_command", connection="cache", command=["GET", "x"])
    assert (result.denied, result.error) == (True, "this task has no connections to databases")


def test_there_are_four_and_one_is_for_read_only_runs():
    assert {operation.key: operation.read_only for operation in db.OPERATIONS} == {
        "db.postgresql_query": False,
        "db.postgresql_schema": True,
        "db.redis_command": False,
        "db.neo4j_query": False,
    }


@pytest.mark.parametrize("operation", db.OPERATIONS, ids=lambda operation: operation.key)
def test_no_argument_is_an_address_a_credential_or_a_time(operation: Any):
    names = set(parameters_schema(operation.params)["properties"])  # type: ignore[call-overload]
    assert names <= {"connection", "query", "params", "schema", "command"}
