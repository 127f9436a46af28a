"""PostgreSQL: what comes back, what is refused and by whom, and the limits."""

from typing import Any

import psycopg
import pytest
from tests.databases.conftest import Ask
from tests.databases.servers import PASSWORD

from agenttask_api.databases import (
    MAX_ANSWER_BYTES,
    MAX_FIELD_BYTES,
    MAX_ROWS,
    Failure,
    PostgresqlSchema,
    Rows,
)
from agenttask_databases import postgresql as executor

pytestmark = pytest.mark.usefixtures("postgresql")
Behind = psycopg.Connection[Any]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1::int", 1),
        ("9223372036854775807::bigint", 9223372036854775807),
        ("true", True),
        ("NULL::text", None),
        ("1.5::float8", 1.5),
        ("'NaN'::float8", "NaN"),
        ("'-Infinity'::float4", "-Infinity"),
        ("'NaN'::numeric", "NaN"),
        ("12345678901234567890.123::numeric", "12345678901234567890.123"),
        ("'2026-01-02'::date", "2026-01-02"),
        ("'infinity'::timestamp", "infinity"),
        ("'0044-03-15 BC'::date", "0044-03-15 BC"),
        ("'294276-01-01'::timestamp", "294276-01-01 00:00:00"),
        ("'\\x00ff'::bytea", "\\x00ff"),
        ("ARRAY[1, NULL]", "{1,NULL}"),
        ("'{\"a\": [1]}'::jsonb", '{"a": [1]}'),
        ("'ä\u202e'::text", "ä\u202e"),
        ("int4range(1, 5)", "[1,5)"),
        ("ROW(1, 'x')", "(1,x)"),
    ],
)
def test_values_are_json(ask: Ask, expression: str, expected: object):
    assert ask.sql(f"SELECT {expression} AS v").rows == ((expected,),)


def test_params_take_their_places(ask: Ask):
    rows = ask.sql(
        "SELECT $1::text, $2::int + 1, $3::bool, $4::text, name FROM items WHERE id = ANY($5)",
        "100%s", 41, False, None, [1, 2],
    ).rows  # fmt: skip
    assert rows == (("100%s", 42, False, None, "item 1"), ("100%s", 42, False, None, "item 2"))


def test_array_param_keeps_quotes_and_nulls(ask: Ask):
    rows = ask.sql("SELECT unnest($1::text[])", ['a"b', "c\\d", None, "NULL", "{x,y}"]).rows
    assert [row[0] for row in rows] == ['a"b', "c\\d", None, "NULL", "{x,y}"]


def test_columns_may_share_a_name_and_rows_may_be_none(ask: Ask):
    answer = ask.sql("SELECT 1 AS a, 2 AS a WHERE false")
    assert (answer.columns, answer.rows, answer.truncated) == (("a", "a"), (), False)


@pytest.mark.parametrize("rows", [MAX_ROWS, MAX_ROWS + 1])
@pytest.mark.parametrize("on", ["pg", "pg-rw"])
def test_rows_end_at_the_limit(ask: Ask, rows: int, on: str):
    answer = ask.sql(f"SELECT n FROM generate_series(1, {rows}) n", on=on)
    assert (len(answer.rows), answer.truncated) == (MAX_ROWS, rows > MAX_ROWS)


@pytest.mark.parametrize("length", [MAX_FIELD_BYTES, MAX_FIELD_BYTES + 1])
def test_field_is_cut_visibly_at_the_limit(ask: Ask, length: int):
    answer = ask.sql("SELECT repeat('x', $1)", length)
    cut = length > MAX_FIELD_BYTES
    assert (answer.truncated, "[... cut, 65537 bytes in all]" in str(answer.rows)) == (cut, cut)
    assert str(answer.rows[0][0]).startswith("x" * MAX_FIELD_BYTES)


@pytest.mark.parametrize("extra", [0, 1])
def test_answer_ends_at_its_limit_of_bytes(ask: Ask, extra: int):
    each = MAX_ANSWER_BYTES // 32 - 2
    query = "SELECT repeat('x', $1::int + CASE n WHEN 1 THEN $2::int ELSE 0 END)"
    answer = ask.sql(f"{query} FROM generate_series(1, 32) n", each, extra)
    assert (len(answer.rows), answer.truncated) == (32 - extra, bool(extra))


def test_gigantic_value_is_not_taken(ask: Ask):
    with ask.fails(Failure.TOO_LARGE, "more than 16777216 bytes"):
        ask.sql("SELECT repeat('x', 200000000)")


def test_endless_rows_stop_at_the_limit(ask: Ask, behind: Behind):
    assert ask.sql("SELECT generate_series(1, 1000000000)").truncated
    assert _active(behind) == 0


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1;", "select 1 -- b", "(SELECT 1)", "/* a /* b */ */VALUES(1)", " ;; SELECT 1"],
)
def test_odd_but_valid_statement_is_answered(ask: Ask, statement: str):
    assert ask.sql(statement).rows == ((1,),)


def test_server_ends_the_statement_at_its_time(ask: Ask, behind: Behind):
    with ask.fails(Failure.TIMEOUT, "statement timeout"):
        ask.sql("SELECT pg_sleep(60)", seconds=0.3)
    assert _active(behind) == 0


@pytest.mark.parametrize(
    ("statement", "failure"),
    [
        ("SELECT nam FROM items", Failure.STATEMENT),
        ("DELETE FROM items", Failure.DENIED),
        ("WITH gone AS (DELETE FROM items RETURNING 1) SELECT 1", Failure.DENIED),
        ("SELECT pg_sleep(60)", Failure.TIMEOUT),
        ("SELECT repeat('x', 200000000)", Failure.TOO_LARGE),
    ],
)
def test_no_connection_is_left_after_a_failure(
    ask: Ask, behind: Behind, statement: str, failure: Failure
):
    with ask.fails(failure, "."):
        ask.sql(statement, seconds=1 if failure is Failure.TIMEOUT else 30)
    assert _active(behind) == 0


def test_statement_cannot_give_itself_more_time(ask: Ask):
    with ask.fails(Failure.TIMEOUT, "statement timeout"):
        ask.sql("SELECT set_config('statement_timeout', '0', false), pg_sleep(60)", seconds=0.3)


def test_lock_is_waited_for_no_longer_than_the_statement(ask: Ask, behind: Behind):
    with behind.transaction():
        behind.execute("LOCK TABLE items")
        with ask.fails(Failure.TIMEOUT, "timeout"):
            ask.sql("SELECT * FROM items", seconds=0.3)


def test_writing_connection_commits_one_statement(ask: Ask, behind: Behind):
    answer = ask.sql("INSERT INTO notes VALUES ($1), ('b') ", "a", on="pg-rw")
    assert (answer.affected, answer.rows) == (2, ())
    assert behind.execute("SELECT count(*) FROM notes").fetchone() == (2,)
    returned = ask.sql("DELETE FROM notes RETURNING text", on="pg-rw")
    assert (returned.affected, len(returned.rows)) == (2, 2)


def test_cut_answer_of_a_write_is_still_written_whole(ask: Ask, behind: Behind):
    query = "INSERT INTO notes SELECT n::text FROM generate_series(1, 1500) n RETURNING text"
    answer = ask.sql(query, on="pg-rw")
    assert (len(answer.rows), answer.truncated, answer.affected) == (MAX_ROWS, True, 1500)
    assert behind.execute("SELECT count(*) FROM notes").fetchone() == (1500,)
    behind.execute("TRUNCATE notes")


def test_failed_write_leaves_nothing(ask: Ask, behind: Behind):
    with ask.fails(Failure.STATEMENT, "division by zero"):
        ask.sql(
            "INSERT INTO notes SELECT (1 / (3 - n))::text FROM generate_series(1, 3) n", on="pg-rw"
        )
    assert behind.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_error_is_the_servers_with_hint_and_place(ask: Ask):
    with ask.fails(
        Failure.STATEMENT, r"column \"nam\" does not exist \(42703\); hint: .*; at char"
    ):
        ask.sql("SELECT nam FROM items")


def test_schema_shows_columns_and_keys(ask: Ask):
    answer = ask("pg", PostgresqlSchema())
    assert isinstance(answer, Rows)
    assert answer.columns[:5] == ("table", "kind", "column", "type", "nullable")
    assert answer.rows[0] == (
        "items", "table", "id", "integer", False, None, "CHECK ((id > 0)); PRIMARY KEY (id)",
    )  # fmt: skip
    assert {row[0] for row in answer.rows} == {"items", "names", "notes"}


def test_schema_name_is_a_value_and_no_sql(ask: Ask):
    answer = ask("pg", PostgresqlSchema(schema_name="x'; DELETE FROM items; --"))
    assert isinstance(answer, Rows)
    assert answer.rows == ()


def test_unreachable_server_is_not_named(ask: Ask):
    with ask.fails(Failure.UNAVAILABLE, "^the server of connection 'pg-down' cannot be reached$"):
        ask.sql("SELECT 1", on="pg-down")


def test_authority_of_ones_own_is_demanded_to_match(ask: Ask):
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert ask.sql(query, on="pg-tls").rows == ((True,),)
    with ask.fails(Failure.UNAVAILABLE, "cannot be reached"):
        ask.sql(query, on="pg-tls-other")


def test_wrong_password_is_said_without_the_account(ask: Ask):
    with ask.fails(Failure.UNAVAILABLE, "^the server of connection 'pg-wrong' refuses the cred"):
        ask.sql("SELECT 1", on="pg-wrong")


def test_missing_keys_are_named(ask: Ask):
    with ask.fails(Failure.MISCONFIGURED, "'pg-empty' cannot be used: it has neither the key"):
        ask.sql("SELECT 1", on="pg-empty")


def test_lost_connection_is_said(ask: Ask):
    kill = "SELECT pg_terminate_backend(pg_backend_pid())"
    with ask.fails(Failure.UNAVAILABLE, "connection"):
        ask.sql(kill)


@pytest.mark.usefixtures("silent")
def test_silent_server_is_given_up(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 2)
    with ask.fails(Failure.UNAVAILABLE, "cannot be reached"):
        ask.sql("SELECT 1", on="pg-silent", seconds=0.2)


def test_password_in_the_data_is_hidden(ask: Ask):
    rows = ask.sql("SELECT $1::text, encode($1::bytea, 'base64')", PASSWORD).rows
    assert rows == (("<secret-hidden>", "<secret-hidden>"),)


def test_password_in_an_error_is_hidden(ask: Ask):
    with ask.fails(Failure.STATEMENT, "invalid input syntax .*<secret-hidden>"):
        ask.sql("SELECT $1::text::int", PASSWORD)


@pytest.mark.parametrize("params", [["\x00"], ["\ud800"]])
def test_text_that_is_none_is_refused(ask: Ask, params: list[str]):
    with ask.fails_with(Failure.STATEMENT, Failure.UNAVAILABLE):
        ask.sql("SELECT $1::text", *params)


def _active(behind: Behind) -> int:
    """Return the statements of ours that still run, after giving the server a moment."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agenttask'"
    for _ in range(50):
        found = behind.execute(query).fetchone()
        if found == (0,):
            break
        behind.execute("SELECT pg_sleep(0.05)")
    return int(found[0]) if found else -1
