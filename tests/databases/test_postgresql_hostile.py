"""PostgreSQL under hostile statements: what is refused, and by whom."""

from typing import Any

import psycopg
import pytest
from tests.databases.conftest import Ask

from agenttask_api.databases import Failure

pytestmark = pytest.mark.usefixtures("postgresql")
Behind = psycopg.Connection[Any]

HOSTILE = [
    "DELETE FROM items",
    "WITH gone AS (DELETE FROM items RETURNING *) SELECT * FROM gone",
    "SELECT 1; DELETE FROM items",
    "COMMIT; DELETE FROM items",
    "SELECT 1; COMMIT; DELETE FROM items",
    "COMMIT",
    "/* SELECT */ DELETE FROM items",
    "/* a /* b */ SELECT */ TRUNCATE items",
    "-- SELECT\nDELETE FROM items",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET default_transaction_read_only = off",
    "SET ROLE writer",
    "SET SESSION AUTHORIZATION writer",
    "RESET ALL",
    "DO $$BEGIN DELETE FROM items; END$$",
    "DO $$BEGIN SET TRANSACTION READ WRITE; DELETE FROM items; END$$",
    "CALL wipe()",
    "SELECT sneak()",
    "SELECT leave()",
    "SELECT definer()",
    "SELECT set_config('transaction_read_only', 'off', false), sneak()",
    "SELECT query_to_xml('DELETE FROM items', true, true, '')",
    "SELECT nextval('counter')",
    "SELECT * FROM items FOR UPDATE",
    "SELECT * INTO copied FROM items",
    "EXPLAIN ANALYZE DELETE FROM items",
    "CREATE TABLE t (a int)",
    "CREATE TEMP TABLE t (a int)",
    "COPY items TO PROGRAM 'id'",
    "COPY items TO STDOUT",
    "COPY items FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_server_files('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT * FROM dblink('dbname=postgres', 'DELETE FROM items') AS t(a int)",
    "SELECT rolpassword FROM pg_authid",
    "SELECT passwd FROM pg_shadow",
    "PREPARE TRANSACTION 'kept'",
    "PREPARE p AS DELETE FROM items",
    "LISTEN x",
    "LOCK TABLE items",
    "LOAD 'x'",
    "GRANT ALL ON items TO public",
    "ALTER ROLE reader SET default_transaction_read_only = off",
    "VACUUM",
    "(DELETE FROM items)",
    "\x00DELETE FROM items",
    "SELECT 1\x00; DELETE FROM items",
]


@pytest.mark.parametrize("statement", HOSTILE)
def test_read_only_connection_changes_and_reads_nothing_it_should_not(
    ask: Ask, behind: Behind, statement: str
):
    with ask.fails_with(Failure.DENIED, Failure.STATEMENT):
        ask.sql(statement)
    assert behind.execute("SELECT count(*) FROM items").fetchone() == (3,)
    assert behind.execute("SELECT count(*) FROM pg_prepared_xacts").fetchone() == (0,)
    assert behind.execute("SELECT to_regclass('copied')").fetchone() == (None,)


@pytest.mark.parametrize("statement", ["SELECT sneak()", "SELECT leave()", "SELECT definer()"])
def test_server_itself_refuses_to_write(ask: Ask, statement: str):
    words = "read-only transaction|before any query"
    with ask.fails_with(Failure.DENIED, Failure.STATEMENT, words=words):
        ask.sql(statement)


def test_two_statements_are_refused_by_the_server(ask: Ask):
    with ask.fails(Failure.STATEMENT, "cannot insert multiple commands"):
        ask.sql("SELECT 1; SELECT 2")


@pytest.mark.parametrize("name", ["pg-super", "pg-filer"])
def test_role_that_no_transaction_holds_back_is_refused(ask: Ask, name: str):
    with ask.fails(Failure.DENIED, "superuser or may use the server's files"):
        ask.sql("SELECT 1", on=name)


@pytest.mark.parametrize(
    "statement", ["COMMIT", "SET ROLE reader", "COPY items TO STDOUT", "LISTEN x"]
)
def test_session_is_ours_on_a_writing_connection_too(ask: Ask, statement: str):
    with ask.fails(Failure.DENIED, "not allowed"):
        ask.sql(statement, on="pg-rw")


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$BEGIN EXECUTE 'COPY notes TO PROGRAM ''id'''; END$$",
        "DO $$BEGIN EXECUTE 'COPY notes FROM ''/etc/passwd'''; END$$",
        "DO $$BEGIN COMMIT; END$$",
        "CALL wipe()",
        "ALTER ROLE writer SUPERUSER",
        "CREATE EXTENSION dblink",
    ],
)
def test_role_and_transaction_hold_back_a_writing_connection(
    ask: Ask, behind: Behind, statement: str
):
    with ask.fails(Failure.STATEMENT, "permission|must|invalid transaction termination|available"):
        ask.sql(statement, on="pg-rw")
    assert behind.execute("SELECT count(*) FROM items").fetchone() == (3,)
