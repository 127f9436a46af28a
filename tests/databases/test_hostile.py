"""Hostile arguments for the four operations, on real servers, in process and by the door."""

from collections.abc import Iterator

import pytest
from tests.agent.arguments import anything, fitting
from tests.agent.feeding import feed
from tests.agent.surroundings import Surroundings, surroundings
from tests.databases.conftest import Ask, check_clean

from agenttask_agent.tools import db

pytestmark = pytest.mark.usefixtures("postgresql", "redis", "neo4j")
CONNECTIONS = ("pg", "pg-rw", "cache", "cache-rw", "graph", "graph-rw", "nobody", "pg-down")
SQL = (
    *("SELECT 1", "SELECT $1::int", "SELECT * FROM items", "DELETE FROM items WHERE false", ";"),
    *("SELECT 1; SELECT 2", "COMMIT", "SET transaction_read_only = off", "COPY items TO STDOUT"),
    *("COPY items TO PROGRAM 'touch x'", "SELECT pg_read_file('/etc/passwd')", "LISTEN x"),
    *(
        "SELECT \0",
        "SELECT '\ud800'",
        "SELECT 'x",
        "/* ",
        "EXPLAIN SELECT 1",
        "SELECT pg_sleep(60)",
    ),
)
CYPHER = (
    *("RETURN 1", "RETURN $a", "MATCH (n) RETURN n", "CREATE (n) RETURN n", "RETURN", ";"),
    *(
        "LOAD CSV FROM 'file:///etc/passwd' AS x RETURN x",
        "CALL dbms.listConfig()",
        "RETURN '\ud800'",
    ),
    *("CALL { RETURN 1 AS a } RETURN a", "RETURN 1; RETURN 2", "USE system SHOW USERS"),
)
REDIS = (
    *("GET", "SET", "key", "EXISTS", "KEYS", "*", "SCAN", "0", "FLUSHALL", "SHUTDOWN", "CONFIG"),
    *("EVAL", "return 1", "SUBSCRIBE", "MONITOR", "MULTI", "CLIENT", "BLPOP", "ACL", "WHOAMI"),
)
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "db.postgresql_query": {"query": SQL, "params": ("1", "x")},
    "db.postgresql_schema": {"schema": ("public", "pg_catalog", "'; --", '"', "x" * 63)},
    "db.redis_command": {"command": REDIS},
    "db.neo4j_query": {"query": CYPHER, "params keys": ("a",)},
}


@pytest.fixture
def around(ask: Ask) -> Iterator[Surroundings]:
    with surroundings(catalogue=db.OPERATIONS, seconds=2.0) as made:
        made.equip(databases=ask.databases)
        yield made


@pytest.mark.parametrize("operation", db.OPERATIONS, ids=lambda operation: operation.key)
def test_statements(operation, around: Surroundings):
    words = {"*": ("x",), "connection": CONNECTIONS, **WORDS[operation.key]}
    feed(around, operation.key, fitting(operation, words) | anything(operation))
    check_clean(around.tools.audit.path.read_text(encoding="utf-8"))
