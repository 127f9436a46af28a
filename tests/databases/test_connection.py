"""Addresses as Secrets hold them: odd but valid ones, and those that would undo a wall."""

from pathlib import Path

import pytest
from tests.databases.conftest import Keys, check_clean
from tests.databases.servers import PASSWORD

from agenttask_api.databases import DatabaseError, Failure
from agenttask_api.spec import ConnectionKind
from agenttask_databases.connection import (
    Address,
    BadAddress,
    parse_url,
    read_connection,
    secret_values,
)

PG, REDIS, NEO4J = ConnectionKind.POSTGRESQL, ConnectionKind.REDIS, ConnectionKind.NEO4J


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        (PG, "postgres://db", Address("db", 5432)),
        (PG, "postgresql://u%40x:p%2Fw@[::1]:1/a%20b", Address("::1", 1, "u@x", "p/w", "a b")),
        (PG, "postgresql://db.ns.svc/x?sslmode=require",
         Address("db.ns.svc", 5432, database="x", tls="require")),
        (REDIS, "redis://:pw@cache_1/3", Address("cache_1", 6379, "", "pw", "3", "disable")),
        (REDIS, "rediss://u:pw@cache", Address("cache", 6379, "u", "pw", "", "verify-full")),
        (NEO4J, "bolt+s://u:p@g", Address("g", 7687, "u", "p", "", "verify-full")),
        (NEO4J, "neo4j://g:1/db", Address("g", 1, "", "", "db", "disable", routing=True)),
        (NEO4J, "bolt+ssc://g", Address("g", 7687, tls="require")),
    ],
)  # fmt: skip
def test_odd_but_valid_address_is_taken_apart(kind: ConnectionKind, url: str, expected: Address):
    assert parse_url(kind, url) == expected


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (PG, ""),
        (PG, "mysql://db"),
        (PG, "redis://db"),
        (PG, "postgresql://"),
        (PG, "postgresql:///x?host=/run"),
        (PG, "postgresql://%2Frun%2Fpostgresql/x"),
        (PG, "postgresql://a,b/x"),
        (PG, "postgresql://db:99999/x"),
        (PG, "postgresql://db:x/x"),
        (PG, "postgresql://db/x?options=-c%20default_transaction_read_only%3Doff"),
        (PG, "postgresql://db/x?service=other"),
        (PG, "postgresql://db/x?passfile=/secrets/model/key"),
        (PG, "postgresql://db/x?sslmode=maybe"),
        (PG, "postgresql://db/x%00y"),
        (PG, "postgresql://[::1/x"),
        (PG, "postgresql://db:0/x"),
        (PG, "postgresql://d\nb/x"),
        (PG, "postgresql://db/x\ty"),
        (REDIS, "redis://cache/zero"),
        (REDIS, "redis://cache/0?ssl_cert_reqs=none"),
        (REDIS, "unix:///run/redis.sock"),
        (NEO4J, "http://graph"),
        (NEO4J, "bolt://-x"),
    ],
)
def test_bad_address_is_refused_without_a_word_of_it(kind: ConnectionKind, url: str):
    url = url.replace("://", f"://someone:{PASSWORD.replace('/', '')}@", 1)
    with pytest.raises(BadAddress) as caught:
        parse_url(kind, url)
    assert "someone" not in str(caught.value)
    assert PASSWORD.replace("/", "") not in repr(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        {"host": "x y"},
        {"host": "db", "port": "0"},
        {"host": "db", "port": "5432; x"},
        {"host": "db", "database": "a\x07b"},
        {"host": "db", "password": "a\x00b"},
        {"password": "a"},
        {"url": "x" * 9000},
    ],
)
def test_bad_keys_are_refused(tmp_path: Path, written: dict[str, str]):
    keys = Keys(tmp_path)
    keys.add("pg", **written)
    with pytest.raises(DatabaseError) as caught:
        read_connection(keys.connections[0], tmp_path)
    assert caught.value.failure is Failure.MISCONFIGURED


def test_authority_of_ones_own_is_demanded_to_match(tmp_path: Path):
    keys = Keys(tmp_path)
    keys.add("pg", host="db", password=PASSWORD, **{"ca.crt": "x"})
    config = read_connection(keys.connections[0], tmp_path)
    assert (config.address.tls, config.ca_file) == ("verify-full", tmp_path / "pg" / "ca.crt")


def test_rotated_secret_counts_at_once(tmp_path: Path):
    keys = Keys(tmp_path)
    keys.add("pg", host="db", password="before")
    (tmp_path / "pg" / "password").write_text("afterwards", encoding="utf-8")
    assert read_connection(keys.connections[0], tmp_path).address.password == "afterwards"


def test_what_a_connection_prints_as_holds_no_secret(tmp_path: Path):
    keys = Keys(tmp_path)
    keys.add("pg", host="db", password=PASSWORD)
    config = read_connection(keys.connections[0], tmp_path)
    check_clean(f"{config!r} {config} {config.address!r}")


def test_secret_values_are_those_of_all_connections(tmp_path: Path):
    keys = Keys(tmp_path)
    keys.add("pg", url="postgresql://u:first-one@db/x")
    keys.add("cache", host="c", password="second")
    keys.add("graph")
    found = secret_values(keys.connections, tmp_path)
    assert found == ("postgresql://u:first-one@db/x", "first-one", "second")
