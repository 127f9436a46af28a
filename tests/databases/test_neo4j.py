"""Neo4j: one smoke in every run; the rest, on the same server, is slow."""

from dataclasses import replace
from typing import Any

import pytest
from tests.agent.conftest import MakeTools, make_tools
from tests.databases.conftest import Ask
from tests.databases.servers import PASSWORD

from agenttask_agent.tools import db
from agenttask_api.databases import MAX_FIELD_BYTES, MAX_ROWS, Failure
from agenttask_databases import graph as executor

__all__ = ["make_tools"]  # the fixture
pytestmark = pytest.mark.usefixtures("neo4j")


def test_writes_reads_and_refuses(ask: Ask):
    create = "CREATE (a:Person {name: $name})-[:KNOWS {since: date('2020-01-01')}]->(b:Person)"
    ask.cypher(f"{create} RETURN a", on="graph-rw", name="Ada")
    answer = ask.cypher("MATCH p = (:Person {name: $name})-[k]->() RETURN p, k.since", name="Ada")
    path: Any = answer.rows[0][0]
    assert path["nodes"][0] == {"labels": ["Person"], "properties": {"name": "Ada"}}
    assert path["relationships"][0]["properties"] == {"since": "2020-01-01"}
    with ask.fails(Failure.DENIED, "Writing in read access mode not allowed"):
        ask.cypher("MATCH (n) DETACH DELETE n")
    ask.cypher("MATCH (n) DETACH DELETE n", on="graph-rw")


def test_the_operation_answers_one_record_a_line_and_says_what_failed(
    ask: Ask, make_tools: MakeTools
):
    tools = make_tools(role="DATA", catalogue=db.OPERATIONS)
    tools.toolbox.context = replace(tools.toolbox.context, databases=ask.databases)
    query = "UNWIND $names AS name RETURN name"
    result = tools("db.neo4j_query", connection="graph", query=query, params={"names": ["a", "b"]})
    assert (result.output, result.metadata) == ('["name"]\n["a"]\n["b"]\n(2 rows)', {"rows": 2})
    broken = tools("db.neo4j_query", connection="graph", query="RETURN 1 +")
    assert "statement_failed" in str(broken.error)
    write = tools("db.neo4j_query", connection="graph", query="CREATE (n)")
    assert "database_denied" in str(write.error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1", 1),
        ("2 ^ 0.5 > 1", True),
        ("null", None),
        ("0.0 / 0.0", "NaN"),
        ("-1.0 / 0.0", "-Infinity"),
        ("datetime('2026-01-02T03:04:05Z')", "2026-01-02T03:04:05.000000000+00:00"),
        ("duration('P1M2DT3S')", "P1M2DT3S"),
        ("point({x: 1, y: 2})", {"srid": 7203, "coordinates": [1.0, 2.0]}),
        ("[1, {a: [null]}]", [1, {"a": [None]}]),
        ("{`a b`: date('2026-01-02')}", {"a b": "2026-01-02"}),
    ],
)
def test_values_are_json(ask: Ask, expression: str, expected: object):
    assert ask.cypher(f"RETURN {expression} AS v").rows == ((expected,),)


@pytest.mark.slow
@pytest.mark.parametrize("count", [MAX_ROWS, MAX_ROWS + 1])
@pytest.mark.parametrize("on", ["graph", "graph-rw"])
def test_records_end_at_the_limit(ask: Ask, count: int, on: str):
    answer = ask.cypher("UNWIND range(1, $count) AS n RETURN n", on=on, count=count)
    assert (len(answer.rows), answer.truncated) == (MAX_ROWS, count > MAX_ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("length", [MAX_FIELD_BYTES, MAX_FIELD_BYTES + 1])
def test_field_is_cut_visibly_at_the_limit(ask: Ask, length: int):
    answer = ask.cypher("RETURN $text AS text", text="x" * length)
    assert answer.truncated == (length > MAX_FIELD_BYTES)


@pytest.mark.slow
def test_gigantic_record_is_not_taken(ask: Ask):
    with ask.fails(Failure.TOO_LARGE, "more than 16777216 bytes"):
        ask.cypher("RETURN range(1, 20000000) AS n")


HOSTILE = [
    "CREATE (n)",
    "MERGE (n:X)",
    "MATCH (n) SET n.x = 1",
    "MATCH (n) REMOVE n.x",
    "UNWIND [1] AS x CREATE (n) RETURN n",
    "RETURN 1; CREATE (n)",
    "/* RETURN */ CREATE (n)",
    "// RETURN\nCREATE (n)",
    "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
    "WITH 1 AS x LOAD CSV FROM 'http://127.0.0.1:1/' AS line RETURN line",
    "WITH 1 AS x L\\u004FAD /**/ CSV FROM 'file:///etc/passwd' AS line RETURN line",
    "CALL dbms.listConfig()",
    "CALL `dbms`.`listConfig`() YIELD name RETURN name",
    "CALL { CALL dbms.components() YIELD name RETURN name } RETURN name",
    "CALL dbms.killQuery('x')",
    "CALL db.clearQueryCaches()",
    "CALL db.createLabel('X')",
    "CALL apoc.load.json('http://127.0.0.1/')",
    "RETURN apoc.version()",
    "SHOW USERS",
    "SHOW SETTINGS",
    "SHOW TRANSACTIONS",
    "SHOW INDEXES YIELD name RETURN name",
    "TERMINATE TRANSACTIONS 'x'",
    "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'b'",
    "CREATE USER x SET PASSWORD 'abcdefgh'",
    "DROP DATABASE neo4j",
    "CREATE INDEX FOR (n:X) ON (n.y)",
    "MATCH (n) CALL { WITH n DELETE n } IN TRANSACTIONS",
    "PROFILE MATCH (n) RETURN n",
    "EXPLAIN PROFILE CREATE (n)",
    "CYPHER planner=cost CREATE (n)",
    "FOREACH (x IN [1] | CREATE (n))",
    "USE system RETURN 1",
    "RETRUN 1",
]


@pytest.mark.slow
@pytest.mark.parametrize("statement", HOSTILE)
def test_read_only_connection_refuses(ask: Ask, statement: str):
    with ask.fails_with(Failure.DENIED, Failure.STATEMENT):
        ask.cypher(statement)
    assert ask.cypher("MATCH (n) RETURN count(n)").rows == ((0,),)


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "WITH 1 AS x LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
        "CALL dbms.listConfig()",
        "SHOW USERS",
        "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'b'",
        "CREATE USER x SET PASSWORD 'abcdefgh'",
        "CREATE \\u0055SER x SET PASSWORD 'abcdefgh'",
        "DROP USER neo4j",
        "CREATE OR REPLACE DATABASE x",
        "DROP DATABASE neo4j",
    ],
)
def test_writing_connection_refuses_what_belongs_to_the_server(ask: Ask, statement: str):
    with ask.fails_with(Failure.DENIED, Failure.STATEMENT):
        ask.cypher(statement, on="graph-rw")


@pytest.mark.slow
def test_procedures_of_the_list_are_called(ask: Ask):
    ask.cypher("CREATE (n:Shown)", on="graph-rw")
    assert ("Shown",) in ask.cypher("CALL db.labels()").rows
    assert ask.cypher("SHOW INDEXES").columns[1] == "name"
    ask.cypher("MATCH (n) DELETE n", on="graph-rw")


@pytest.mark.slow
def test_server_ends_the_statement_at_its_time(ask: Ask):
    with ask.fails(Failure.TIMEOUT, "timeout"):
        ask.cypher("UNWIND range(1, 1000000000) AS x RETURN count(x * x)", seconds=1)


@pytest.mark.slow
@pytest.mark.parametrize("value", [2**63, "\ud800"])
def test_parameter_without_counterpart_is_refused(ask: Ask, value: object):
    with ask.fails(Failure.STATEMENT):
        ask.cypher("RETURN $value", value=value)


@pytest.mark.slow
def test_wrong_password_is_said_without_the_account(ask: Ask):
    with ask.fails(Failure.UNAVAILABLE, "^the server of connection 'graph-wrong' refuses the cre"):
        ask.cypher("RETURN 1", on="graph-wrong")


def test_unreachable_server_is_not_named(ask: Ask):
    with ask.fails(Failure.UNAVAILABLE, "^the server of connection 'graph-down' cannot be reached"):
        ask.cypher("RETURN 1", on="graph-down")


@pytest.mark.usefixtures("silent")
def test_silent_server_is_given_up(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 0.3)
    with ask.fails(Failure.UNAVAILABLE, "cannot be reached"):
        ask.cypher("RETURN 1", on="graph-silent", seconds=0.2)


@pytest.mark.slow
def test_password_in_the_data_is_hidden(ask: Ask):
    answer = ask.cypher("RETURN $text AS a, {b: [$text]} AS m", text=PASSWORD)
    assert answer.rows == (("<secret-hidden>", {"b": ["<secret-hidden>"]}),)


@pytest.mark.slow
def test_password_in_an_error_is_hidden(ask: Ask):
    with ask.fails(Failure.STATEMENT, "<secret-hidden>"):
        ask.cypher(f"RETURN '{PASSWORD}' syntax error")
