"""`POST /db/{connection}` under a hostile agent: typed, capped, never a 5xx, never a leak."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.databases.conftest import Keys, check_clean, door

from agenttask_agent.door import open_client
from agenttask_api.databases import MAX_REQUEST_BYTES
from agenttask_courier import databases

SQL = {"kind": "postgresql_query", "query": "SELECT 1"}


@pytest.fixture(scope="module")
def client(
    keys: Keys, postgresql: int, redis: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    socket: Path = tmp_path_factory.mktemp("door") / "door.sock"
    with door(keys, socket) as path, open_client(path) as client:
        yield client


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(
    ["SELECT", "1", "FROM", "items", ";", "$1", "'", '"', "--", "/*", "*/", "(", ")", "GET", "SCAN",
     "0", "COUNT", "KEYS", "*", "MATCH", "RETURN", "WITH", "\x00", "\ud800", "EXPLAIN", "::int"]
)  # fmt: skip
TEXTS = st.text(max_size=60) | st.lists(WORDS, max_size=8).map(" ".join)
ALMOST = st.fixed_dictionaries(
    {"kind": st.sampled_from(["postgresql_query", "postgresql_schema", "redis_command", "x"])},
    optional={
        "query": TEXTS | JSON,
        "params": st.lists(JSON, max_size=3) | JSON,
        "command": st.lists(TEXTS | WORDS, max_size=4) | JSON,
        "schemaName": TEXTS | JSON,
        "seconds": st.sampled_from([0.1, 1, 30, 31, -1, "x", None]),
        "readOnly": st.just(False),
    },
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(["pg", "cache"]), body=JSON | ALMOST)
def test_no_json_ends_in_a_5xx_or_leaks(client: httpx.Client, name: str, body: object):
    answer = client.post(f"/db/{name}", content=json.dumps(body))
    assert answer.status_code < 500 or answer.json()["error"]["type"] == "statement_timeout"
    check_clean(answer.text + str(answer.headers))


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=300))
def test_no_bytes_end_in_a_5xx(client: httpx.Client, body: bytes):
    assert client.post("/db/pg", content=body).status_code == 400


@pytest.mark.parametrize(
    ("name", "body", "status", "kind"),
    [
        pytest.param("nobody", SQL, 404, "unknown_connection", id="no such connection"),
        pytest.param("..%2fpg", SQL, 404, "unknown_connection", id="no path"),
        pytest.param("cache", SQL, 400, "wrong_kind", id="another kind"),
        pytest.param("pg", {**SQL, "readOnly": False}, 400, "BadRequestError", id="unknown field"),
        pytest.param("pg", {**SQL, "url": "x"}, 400, "BadRequestError", id="an address"),
        pytest.param("pg", {**SQL, "seconds": 31}, 400, "BadRequestError", id="more time"),
        pytest.param("pg", {**SQL, "query": "DELETE"}, 403, "database_denied", id="denied"),
        pytest.param("pg", {**SQL, "query": "SELECT"}, 200, "", id="no columns"),
        pytest.param("pg", {**SQL, "query": "SELECT x"}, 422, "statement_failed", id="wrong"),
        pytest.param("pg", {**SQL, "params": ["x"] * 101}, 400, "BadRequestError", id="params"),
        pytest.param("pg-down", SQL, 503, "database_unavailable", id="down"),
        pytest.param("pg-empty", SQL, 503, "connection_misconfigured", id="no keys"),
        pytest.param("pg", [[[]]], 400, "BadRequestError", id="no object"),
    ],
)
def test_answers_say_what_was_wrong(
    client: httpx.Client, name: str, body: object, status: int, kind: str
):
    answer = client.post(f"/db/{name}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json().get("error", {}).get("type", "") == kind


@pytest.mark.parametrize("size", [MAX_REQUEST_BYTES, MAX_REQUEST_BYTES + 1])
def test_body_is_capped(client: httpx.Client, size: int):
    answer = client.post("/db/pg", content=b" " * size)
    assert answer.status_code == (400 if size == MAX_REQUEST_BYTES else 413)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_post_is_there(client: httpx.Client, method: str):
    assert client.request(method, "/db/pg").status_code == 405


def test_log_names_connection_and_outcome_only(
    client: httpx.Client, no_credential_in_logs: Callable[[], str]
):
    client.post("/db/pg", json={**SQL, "query": "SELECT 'a statement'"})
    line = json.loads(no_credential_in_logs().strip().splitlines()[-1])
    assert set(line) == {"ts", "event", "connection", "kind", "outcome", "seconds"}


def test_too_many_at_once_are_refused(keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(databases, "MAX_WAITING", 0)
    with door(keys, tmp_path / "door.sock") as path, open_client(path) as client:
        assert client.post("/db/pg", json=SQL).status_code == 429
